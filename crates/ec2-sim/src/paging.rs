//! Paging of the describe calls: `MaxResults` in, `NextToken` in and out.
//!
//! Rule: a token names the last item of its page, not a count, so that what comes or goes between two pages neither
//! hides nor doubles another item.

use data_encoding::BASE64URL_NOPAD;

use crate::{error::ApiError, parameters::Parameters};

/// What a caller asked to see of a list.
#[derive(Debug)]
pub(crate) struct Page {
    max: usize,
    after: Option<String>,
}

impl Page {
    /// Reads the paging parameters. `limits` is the range of `MaxResults` that the action takes; `ids` is
    /// the list parameter that may not come together with it.
    pub(crate) fn parse(
        request: &Parameters,
        limits: std::ops::RangeInclusive<u32>,
        ids: Option<&str>,
    ) -> Result<Self, ApiError> {
        let max = request.number("MaxResults")?;
        if let Some(max) = max.filter(|max| !limits.contains(max)) {
            let rule = format!("it must be between {} and {}", limits.start(), limits.end());
            return Err(ApiError::value(&max.to_string(), "MaxResults", &rule));
        }
        if let Some(ids) = ids.filter(|ids| max.is_some() && !request.list(ids).is_empty()) {
            return Err(ApiError::new(
                "InvalidParameterCombination",
                format!("The parameter {ids} cannot be used with the parameter MaxResults"),
            ));
        }
        let after = request
            .get("NextToken")
            .map(|token| {
                decode(token).ok_or_else(|| {
                    ApiError::new("InvalidPaginationToken", "The specified pagination token is invalid.")
                })
            })
            .transpose()?;
        let max = max.unwrap_or(*limits.end());
        Ok(Self { max: usize::try_from(max).unwrap_or(usize::MAX), after })
    }

    /// The page's items, and the token of the next page if there is one. `items` come in the order of their keys.
    pub(crate) fn cut<T>(&self, items: impl Iterator<Item = (String, T)>) -> (Vec<T>, Option<String>) {
        let mut rest = items.skip_while(|(key, _)| self.after.as_ref().is_some_and(|after| key <= after)).peekable();
        let (mut page, mut last_key) = (Vec::new(), None);
        while page.len() < self.max {
            let Some((key, item)) = rest.next() else { break };
            page.push(item);
            last_key = Some(key);
        }
        let next = last_key.filter(|_| rest.peek().is_some()).map(|key| BASE64URL_NOPAD.encode(key.as_bytes()));
        (page, next)
    }
}

fn decode(token: &str) -> Option<String> {
    String::from_utf8(BASE64URL_NOPAD.decode(token.as_bytes()).ok()?).ok()
}
