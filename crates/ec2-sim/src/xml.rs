//! The XML that EC2 answers with: elements with text or with children, lists of `<item>`.
//!
//! Rule: every text is escaped here and nowhere else, so no tag, name or token that a caller chose can break an answer.

use std::fmt::Display;

use chrono::{DateTime, SecondsFormat};
use quick_xml::escape::escape;

use crate::parameters::Parameters;

/// The name space of the API version that every SDK of today speaks.
const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// One element.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    name: String,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Text(String),
    Children(Vec<Element>),
}

impl Element {
    pub(crate) fn text(name: impl Into<String>, text: impl Display) -> Self {
        Self { name: name.into(), content: Content::Text(text.to_string()) }
    }

    pub(crate) fn parent(name: impl Into<String>, children: Vec<Element>) -> Self {
        Self { name: name.into(), content: Content::Children(children) }
    }

    /// An `<item>` for each of `items`, in a list element.
    pub(crate) fn list(name: impl Into<String>, items: impl IntoIterator<Item = Vec<Element>>) -> Self {
        Self::parent(name, items.into_iter().map(|children| Self::parent("item", children)).collect())
    }

    /// A parameter subtree as EC2 gives it back: `TagSpecification.1.Tag.1.Key` becomes
    /// `<tagSpecificationSet><item><tagSet><item><key>`.
    pub(crate) fn echo(name: &str, parameters: &Parameters) -> Self {
        let name = lower_first(name);
        if let Some(value) = parameters.value() {
            return Self::text(name, value);
        }
        let items = parameters.items();
        if items.is_empty() {
            return Self::parent(name, parameters.members().map(|(name, member)| Self::echo(name, member)).collect());
        }
        Self::parent(format!("{name}Set"), items.into_iter().map(|item| Self::echo("item", item)).collect())
    }

    /// The element as a whole document.
    pub(crate) fn document(&self) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        self.write(&mut out);
        out
    }

    /// A successful answer to `action`.
    pub(crate) fn response(action: &str, request_id: &str, content: &[Element]) -> String {
        let mut out = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"{NAMESPACE}\">");
        Self::text("requestId", request_id).write(&mut out);
        for element in content {
            element.write(&mut out);
        }
        out.extend(["</", action, "Response>"]);
        out
    }

    /// The depth of what is written is the depth of answers and of parameters, both of which are limited.
    fn write(&self, out: &mut String) {
        out.extend(["<", &self.name, ">"]);
        match &self.content {
            Content::Text(text) => out.push_str(&escape(printable(text).as_str())),
            Content::Children(children) => {
                for child in children {
                    child.write(out);
                }
            }
        }
        out.extend(["</", &self.name, ">"]);
    }
}

/// XML 1.0 has no way to write most control characters, not even escaped.
fn printable(text: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if allowed(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// A moment as EC2 writes it: `2026-11-23T18:56:00.000Z`.
pub(crate) fn timestamp(ms: u64) -> String {
    moment(ms).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A moment by Unix milliseconds; those beyond what a calendar can say are the end of it.
pub(crate) fn moment(ms: u64) -> DateTime<chrono::Utc> {
    i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis).unwrap_or(DateTime::<chrono::Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::Element;
    use crate::parameters::Parameters;

    #[test]
    fn texts_cannot_break_out() {
        let written = Element::text("value", "</value>&\u{0}\u{1F980}").document();
        assert!(written.ends_with("<value>&lt;/value&gt;&amp;\u{fffd}\u{1F980}</value>"), "{written}");
    }

    #[test]
    fn parameters_are_echoed_as_ec2_names_them() {
        let form = "TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=k";
        let tree = Parameters::parse(form).expect("a form");
        let written = Element::echo("LaunchTemplateData", &tree).document();
        assert!(
            written.ends_with(
                "<launchTemplateData><tagSpecificationSet><item><resourceType>instance</resourceType><tagSet><item>\
                 <key>k</key></item></tagSet></item></tagSpecificationSet></launchTemplateData>"
            ),
            "{written}"
        );
    }
}
