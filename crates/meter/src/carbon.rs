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

/// The newest figure for a country, by ISO 3166-1 alpha-3 or alpha-2 code in capitals.
#[must_use]
pub fn intensity(country: &str) -> Option<Intensity> {
    let rows = include_str!("../data/grid_intensity.csv").lines().skip(1);
    rows.map(|row| row.split(',')).find_map(|mut cells| {
        let (code, year, grams, short) = (cells.next()?, cells.next()?, cells.next()?, cells.next()?);
        let is_it = code == country || short == country;
        is_it.then(|| {
            Some(Intensity { country: code.to_owned(), year: year.parse().ok()?, grams_per_kwh: grams.parse().ok()? })
        })?
    })
}

impl Intensity {
    /// Whether the figure is of that year; a figure of another year is the newest there is, not that year's.
    #[must_use]
    pub const fn is_of(&self, year: u16) -> bool {
        self.year == year
    }

    /// Country, year and source in a line, as evidence carries it.
    #[must_use]
    pub fn convention(&self) -> String {
        format!(
            "location-based; match: country, annual average; grid of {} in {}: {} gCO2e/kWh; {SOURCE}; operational only",
            self.country, self.year, self.grams_per_kwh
        )
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
        assert_eq!(intensity("FR"), intensity("FRA"));
        assert!(france.is_of(2023) && !france.is_of(2026));
        for unknown in ["ATL", "", "fr", "F", "France", "CAF", "WORLD", "SE1", "2023"] {
            assert_eq!(intensity(unknown), None, "{unknown}");
        }
    }

    /// The source's collection holds one placeholder, 18 g, for every Nordic zone; the countries' own figures are used.
    #[test]
    fn placeholders_are_not_in_the_table() {
        let grams = |country| intensity(country).unwrap().grams_per_kwh.to_string();
        assert_eq!([grams("SE"), grams("NO"), grams("FI")], ["40.695", "30.08", "79.158"]);
        // Grams, where the source's table of states of 2016 has pounds a megawatt-hour (998 for the whole).
        assert_eq!(grams("US"), "369.473");
    }
}
