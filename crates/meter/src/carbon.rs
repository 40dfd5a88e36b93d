//! Grid intensity by country. A country that is not in the table has none: there is no default.

use evidence::Decimal;

/// Grams of CO2 equivalent a kilowatt-hour, with year and source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intensity {
    pub country: String,
    pub year: u16,
    pub grams_per_kwh: Decimal,
}

/// Where the table is from; data/NOTICE.md has licences and changes.
pub const SOURCE: &str = "codecarbon 3.3.0 (MIT), values of Our World in Data and Ember (CC BY 4.0)";

/// The newest figure for a country, by ISO 3166-1 alpha-3 code.
#[must_use]
pub fn intensity(country: &str) -> Option<Intensity> {
    let rows = include_str!("../data/grid_intensity.csv").lines().skip(1);
    rows.map(|row| row.split(',')).find_map(|mut cells| {
        let (code, year, grams) = (cells.next()?, cells.next()?, cells.next()?);
        let is_it = code == country;
        is_it.then(|| Some(Intensity { country: code.to_owned(), year: year.parse().ok()?, grams_per_kwh: grams.parse().ok()? }))?
    })
}

impl Intensity {
    /// Country, year and source in a line, as evidence carries it.
    #[must_use]
    pub fn convention(&self) -> String {
        format!("location-based; grid of {} in {}: {} gCO2e/kWh; {SOURCE}; operational only", self.country, self.year, self.grams_per_kwh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_reads_and_the_unknown_is_unknown() {
        let rows = include_str!("../data/grid_intensity.csv").lines().skip(1);
        let n = rows.map(|row| intensity(&row[..3]).unwrap()).filter(|i| i.grams_per_kwh > Decimal::ZERO).count();
        assert_eq!(n, 212);
        let france = intensity("FRA").unwrap();
        assert_eq!((france.year, france.grams_per_kwh.to_string()), (2023, "56.039".to_owned()));
        assert_eq!(intensity("ATL"), None);
    }
}
