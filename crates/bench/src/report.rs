//! `docs/performance.md`: prose by hand, with tables between marks that are written anew by each run.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A part of the file that a run writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its mark.
    pub name: &'static str,
    /// What stands there, in Markdown.
    pub text: String,
    /// A picture for it, as SVG: `docs/NAME.svg`.
    pub picture: Option<String>,
}

/// The root of the repository.
///
/// # Panics
/// Never: the crate is two folders below it.
#[must_use]
pub fn root() -> &'static Path {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in a folder");
    crates.parent().expect("that is in the repository")
}

/// The file.
#[must_use]
pub fn file() -> PathBuf {
    root().join("docs/performance.md")
}

/// The picture of the section of this name.
#[must_use]
pub fn picture_file(name: &str) -> PathBuf {
    root().join("docs").join(name).with_extension("svg")
}

impl Section {
    /// A section without a picture.
    #[must_use]
    pub fn of_text(name: &'static str, text: String) -> Self {
        Self { name, text, picture: None }
    }

    /// The file's text with this section in its place.
    ///
    /// # Errors
    /// When the file has no place for it.
    pub fn placed_in(&self, file: &str) -> Result<String, String> {
        let (begin, end) = (format!("<!-- {} -->\n", self.name), format!("<!-- end of {} -->\n", self.name));
        let missing = || format!("docs/performance.md has no place for {}: {begin}{end}", self.name);
        let (before, rest) = file.split_once(&begin).ok_or_else(missing)?;
        let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
        let picture =
            self.picture.as_ref().map_or_else(String::new, |_| format!("\n\n![The table as bars]({}.svg)", self.name));
        Ok(format!("{before}{begin}\n{}{picture}\n\n{end}{after}", self.text.trim()))
    }
}

/// A table in Markdown; the first column is of names, the others of numbers.
#[must_use]
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|---|", header.join(" | "));
    text.push_str(&"--:|".repeat(header.len().saturating_sub(1)));
    for row in rows {
        // Writing to a text cannot fail.
        let _ = write!(text, "\n| {} |", row.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_takes_its_place_and_nothing_else() {
        let rows = [vec!["a".to_owned(), "1".to_owned()]];
        let mut section = Section::of_text("claims", table(&["", "requests"], &rows));
        let file = "# Title\n\n<!-- claims -->\nold\n<!-- end of claims -->\n\nMore.\n";
        let placed = section.placed_in(file).expect("it has a place");
        let table = "|  | requests |\n|---|--:|\n| a | 1 |";
        assert_eq!(placed, format!("# Title\n\n<!-- claims -->\n\n{table}\n\n<!-- end of claims -->\n\nMore.\n"));
        assert_eq!(section.placed_in(&placed), Ok(placed), "a second time changes nothing");
        assert!(section.placed_in("# Title\n").is_err());
        section.picture = Some("<svg></svg>".to_owned());
        assert!(
            section.placed_in(file).expect("it has a place").contains("\n\n![The table as bars](claims.svg)\n\n<!--")
        );
    }
}
