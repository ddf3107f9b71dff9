//! `template.yaml`, as tests look at it.

use serde_yaml_ng::Value;

use crate::request::root;

/// The whole template.
#[must_use]
pub fn read() -> Value {
    let text = std::fs::read_to_string(root().join("template.yaml")).expect("the template is there");
    serde_yaml_ng::from_str(&text).expect("the template is YAML")
}

/// The resources of a type, each with its logical id.
pub fn of_type<'a>(template: &'a Value, kind: &'static str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let resources = template["Resources"].as_mapping().expect("there are resources").iter();
    let wanted = resources.filter(move |(_, resource)| resource["Type"] == kind);
    wanted.map(|(name, resource)| (name.as_str().expect("a logical id"), resource))
}

/// The mappings with this field, anywhere in a value.
#[must_use]
pub fn having<'a>(value: &'a Value, field: &str) -> Vec<&'a Value> {
    let each = |values: &mut dyn Iterator<Item = &'a Value>| values.flat_map(|value| having(value, field)).collect();
    match value {
        Value::Mapping(fields) => {
            let mut found: Vec<&Value> = each(&mut fields.values());
            if fields.contains_key(field) {
                found.push(value);
            }
            found
        }
        Value::Sequence(items) => each(&mut items.iter()),
        Value::Tagged(tagged) => having(&tagged.value, field),
        _ => Vec::new(),
    }
}
