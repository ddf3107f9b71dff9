//! The list of AWS's prices, `docs/unit-prices.csv`.

use std::collections::BTreeMap;

use crate::report::root;

/// The prices, by unit.
#[derive(Debug, Clone)]
pub struct Prices(BTreeMap<String, f64>);

impl Prices {
    /// Reads the list.
    ///
    /// # Panics
    /// When it is not there or has a row that is none.
    #[must_use]
    pub fn read() -> Self {
        let path = root().join("docs/unit-prices.csv");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let rows = text.lines().filter(|line| !line.starts_with('#')).skip(1);
        let row = |row: &str| {
            let (unit, usd) = row.split_once(',').unwrap_or_else(|| panic!("{row:?} is no row"));
            (unit.to_owned(), usd.parse().unwrap_or_else(|error| panic!("{row:?}: {error}")))
        };
        Self(rows.map(row).collect())
    }

    /// What a unit costs, in USD.
    ///
    /// # Panics
    /// When the list has no such unit.
    #[must_use]
    pub fn usd(&self, unit: &str) -> f64 {
        *self.0.get(unit).unwrap_or_else(|| panic!("{unit} has no price"))
    }
}
