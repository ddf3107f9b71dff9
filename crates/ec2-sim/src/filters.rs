//! `Filter.N.Name` / `Filter.N.Value.M` of the describe calls.
//!
//! Rules (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html>): filters are joined by and, the
//! values of one by or; `*` stands for any text and `?` for one character; an unknown name is an error, because a
//! filter that is not applied would list what the caller believes excluded.

use crate::{error::ApiError, parameters::Parameters};

/// The filters of one request.
#[derive(Debug)]
pub(crate) struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    /// Reads the filters of a request; `known` are the names the action has, `tag:` stands for `tag:KEY`.
    pub(crate) fn parse(request: &Parameters, known: &[&str]) -> Result<Self, ApiError> {
        let mut filters = Vec::new();
        for filter in request.list("Filter") {
            let name = filter.required("Name")?;
            let is_tag = known.contains(&"tag:") && name.strip_prefix("tag:").is_some_and(|key| !key.is_empty());
            if !is_tag && !known.contains(&name) {
                return Err(ApiError::new("InvalidParameterValue", format!("The filter '{name}' is invalid")));
            }
            filters.push((name.to_owned(), filter.values("Value").into_iter().map(str::to_owned).collect()));
        }
        Ok(Self(filters))
    }

    /// Whether something passes; `facts` gives its values under a filter's name.
    pub(crate) fn pass(&self, facts: impl Fn(&str) -> Vec<String>) -> bool {
        self.0
            .iter()
            .all(|(name, patterns)| facts(name).iter().any(|fact| patterns.iter().any(|pattern| glob(pattern, fact))))
    }
}

/// Whether `text` matches a pattern with `*` and `?`. Backtracks only to the last star, so no pattern is slow.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((star_p, star_t)) => {
                    star = Some((star_p, star_t + 1));
                    p = star_p + 1;
                    t = star_t + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn globs() {
        for (pattern, text) in
            [("", ""), ("*", ""), ("a*c", "abbc"), ("a?c", "abc"), ("*a*b", "xaxbb"), ("t3.*", "t3.medium")]
        {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("?", ""), ("a*c", "abcd"), ("a", "A"), ("*a*b", "ab a")] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }
}
