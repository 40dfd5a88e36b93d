//! The closed list of units.

use std::fmt;

/// A unit of measurement. Displays as the symbol that evidence and documents carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A pure number: counts, shares, ratios.
    One,
    Byte,
    Flop,
    Second,
    Watt,
    Joule,
    KilowattHour,
    /// Grams of CO2 equivalent.
    GramCo2e,
    GramCo2ePerKilowattHour,
    Euro,
    /// Natural logarithm per token of text.
    NatPerToken,
    TokenPerSecond,
}

impl Unit {
    pub const ALL: [Self; 12] = [
        Self::One,
        Self::Byte,
        Self::Flop,
        Self::Second,
        Self::Watt,
        Self::Joule,
        Self::KilowattHour,
        Self::GramCo2e,
        Self::GramCo2ePerKilowattHour,
        Self::Euro,
        Self::NatPerToken,
        Self::TokenPerSecond,
    ];

    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Byte => "byte",
            Self::Flop => "FLOP",
            Self::Second => "s",
            Self::Watt => "W",
            Self::Joule => "J",
            Self::KilowattHour => "kWh",
            Self::GramCo2e => "gCO2e",
            Self::GramCo2ePerKilowattHour => "gCO2e/kWh",
            Self::Euro => "EUR",
            Self::NatPerToken => "nat/token",
            Self::TokenPerSecond => "token/s",
        }
    }

    #[must_use]
    pub fn from_symbol(symbol: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.symbol() == symbol)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}
