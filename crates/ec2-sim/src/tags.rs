//! Tags: those that a launch brings, `CreateTags`, `DescribeTags`.
//!
//! Rules: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions>.

use std::collections::BTreeMap;

use crate::{Ec2, error::ApiError, filters::Filters, paging::Page, parameters::Parameters, xml::Element};

const TAGS_MAX: usize = 50;
const KEY_LENGTH_MAX: usize = 128;
const VALUE_LENGTH_MAX: usize = 256;
/// What a tag specification may name here; EC2 knows many more that no pool launches.
const TAGGABLE: [&str; 6] =
    ["fleet", "instance", "launch-template", "network-interface", "spot-instances-request", "volume"];

/// The tags of one resource, by key.
pub(crate) type Tags = BTreeMap<String, String>;

/// The tags a request's `TagSpecification.N` gives to resources of a type.
pub(crate) fn specified(request: &Parameters, resource: &str) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for specification in request.list("TagSpecification") {
        let kind = specification.required("ResourceType")?;
        if !TAGGABLE.contains(&kind) {
            let rule = format!("'{kind}' is not a taggable resource type here; these are: {}", TAGGABLE.join(", "));
            return Err(ApiError::value(kind, "TagSpecification.ResourceType", &rule));
        }
        let read = read(specification)?;
        if kind == resource {
            tags.extend(read);
        }
    }
    check_count(&tags)?;
    Ok(tags)
}

/// The tags in `Tag.N.Key` and `Tag.N.Value`.
fn read(parameters: &Parameters) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in parameters.list("Tag") {
        let key = tag.required("Key")?;
        let value = tag.get("Value").unwrap_or_default();
        if key.starts_with("aws:") {
            return Err(ApiError::value(key, "key", "Tag keys starting with 'aws:' are reserved for internal use"));
        }
        if key.chars().count() > KEY_LENGTH_MAX || value.chars().count() > VALUE_LENGTH_MAX {
            let rule = format!("a tag's key has at most {KEY_LENGTH_MAX} characters and its value {VALUE_LENGTH_MAX}");
            return Err(ApiError::value(key, "Tag", &rule));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    Ok(tags)
}

/// EC2's own tags do not count.
fn check_count(tags: &Tags) -> Result<(), ApiError> {
    if tags.keys().filter(|key| !key.starts_with("aws:")).count() > TAGS_MAX {
        return Err(ApiError::new("TagLimitExceeded", format!("A resource has at most {TAGS_MAX} tags.")));
    }
    Ok(())
}

/// `<tagSet>`.
pub(crate) fn tag_set(tags: &Tags) -> Element {
    Element::list(
        "tagSet",
        tags.iter().map(|(key, value)| vec![Element::text("key", key), Element::text("value", value)]),
    )
}

/// What filters may ask of tags, under the names `tag-key`, `tag-value` and `tag:KEY`.
pub(crate) fn tag_facts(tags: &Tags, filter: &str) -> Vec<String> {
    match filter {
        "tag-key" => tags.keys().cloned().collect(),
        "tag-value" => tags.values().cloned().collect(),
        _ => filter.strip_prefix("tag:").and_then(|key| tags.get(key)).cloned().into_iter().collect(),
    }
}

impl Ec2 {
    /// `CreateTags`: all resources get all tags, or none gets any.
    pub(crate) fn create_tags(&mut self, request: &Parameters) -> Result<Vec<Element>, ApiError> {
        let ids = request.values("ResourceId");
        let added = read(request)?;
        if ids.is_empty() {
            return Err(ApiError::missing("resourceIdSet"));
        }
        if added.is_empty() {
            return Err(ApiError::missing("tagSet"));
        }
        for id in &ids {
            let mut tags = self.tags_of(id)?.clone();
            tags.extend(added.clone());
            check_count(&tags)?;
        }
        request.unless_dry_run()?;
        for id in ids {
            let template_tags = self.templates.get_mut(id).map(|template| &mut template.tags);
            let instance_tags = self.instances.get_mut(id).map(|instance| &mut instance.tags);
            if let Some(tags) = template_tags.or(instance_tags) {
                tags.extend(added.clone());
            }
        }
        Ok(vec![Element::text("return", true)])
    }

    fn tags_of(&self, id: &str) -> Result<&Tags, ApiError> {
        if id.starts_with("i-") {
            return self.visible(id).map(|(instance, _)| &instance.tags);
        }
        let unknown = || {
            ApiError::new(
                "InvalidID",
                format!("The ID '{id}' is not valid; instances and launch templates have tags here"),
            )
        };
        self.templates.get(id).map(|template| &template.tags).ok_or_else(unknown)
    }

    /// `DescribeTags`.
    pub(crate) fn describe_tags(&self, request: &Parameters) -> Result<Vec<Element>, ApiError> {
        let filters = Filters::parse(request, &["key", "resource-id", "resource-type", "value", "tag:"])?;
        let page = Page::parse(request, 5..=1_000, None)?;
        request.unless_dry_run()?;
        let seen = self.instances.iter().filter(|instance| self.view(instance).is_some());
        let instances = seen.map(|instance| (instance.id.as_str(), "instance", &instance.tags));
        let templates = self.templates.iter().map(|template| (template.id.as_str(), "launch-template", &template.tags));
        let mut rows = BTreeMap::new();
        for (id, kind, tags) in instances.chain(templates) {
            for (key, value) in tags {
                let wanted = filters.pass(|name| match name {
                    "key" => vec![key.clone()],
                    "value" => vec![value.clone()],
                    "resource-id" => vec![id.to_owned()],
                    "resource-type" => vec![kind.to_owned()],
                    _ => tag_facts(&Tags::from([(key.clone(), value.clone())]), name),
                });
                if wanted {
                    rows.insert(format!("{id} {key}"), tag_row(id, kind, key, value));
                }
            }
        }
        let (rows, next) = page.cut(rows.into_iter());
        Ok([Element::list("tagSet", rows)]
            .into_iter()
            .chain(next.map(|token| Element::text("nextToken", token)))
            .collect())
    }
}

fn tag_row(id: &str, kind: &str, key: &str, value: &str) -> Vec<Element> {
    vec![
        Element::text("resourceId", id),
        Element::text("resourceType", kind),
        Element::text("key", key),
        Element::text("value", value),
    ]
}
