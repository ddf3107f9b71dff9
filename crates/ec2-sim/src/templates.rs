//! Launch templates: a name, numbered versions, one of them the default.
//!
//! Rule: a version never changes. Its data is kept as the parameters that made it, so a launch lays its own over them
//! and a describe call echoes them, without a model of each of EC2's hundred fields here.

use std::collections::BTreeMap;

use crate::{
    Ec2,
    error::ApiError,
    filters::Filters,
    instance::TemplateVersion,
    paging::Page,
    parameters::Parameters,
    tags::{Tags, specified, tag_facts, tag_set},
    tokens::{Outcome, TokenKey, Tokens},
    xml::{Element, timestamp},
};

/// There is no call here that changes the default.
const DEFAULT_VERSION: u32 = 1;

/// One launch template.
#[derive(Debug)]
pub(crate) struct LaunchTemplate {
    pub(crate) id: String,
    name: String,
    created_ms: u64,
    pub(crate) tags: Tags,
    /// The first is version 1.
    versions: Vec<Version>,
}

#[derive(Debug)]
struct Version {
    description: Option<String>,
    created_ms: u64,
    data: Parameters,
}

/// All launch templates by id.
#[derive(Debug, Default)]
pub(crate) struct Templates(BTreeMap<String, LaunchTemplate>);

impl Templates {
    pub(crate) fn get(&self, id: &str) -> Option<&LaunchTemplate> {
        self.0.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut LaunchTemplate> {
        self.0.get_mut(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &LaunchTemplate> {
        self.0.values()
    }

    /// The template that `LaunchTemplateId` or `LaunchTemplateName` of these parameters names.
    fn named_by(&self, parameters: &Parameters) -> Result<&LaunchTemplate, ApiError> {
        match (parameters.get("LaunchTemplateId"), parameters.get("LaunchTemplateName")) {
            (Some(_), Some(_)) => Err(ApiError::new(
                "InvalidParameterCombination",
                "Specify either LaunchTemplateId or LaunchTemplateName, not both.",
            )),
            (Some(id), None) => self.by_id(id),
            (None, Some(name)) => self.by_name(name),
            (None, None) => Err(ApiError::missing("LaunchTemplateId")),
        }
    }

    fn by_id(&self, id: &str) -> Result<&LaunchTemplate, ApiError> {
        let hex = id.strip_prefix("lt-").unwrap_or_default();
        if hex.is_empty() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ApiError::new(
                "InvalidLaunchTemplateId.Malformed",
                format!("Invalid id: \"{id}\" (expecting \"lt-...\")"),
            ));
        }
        self.get(id).ok_or_else(|| {
            ApiError::new(
                "InvalidLaunchTemplateId.NotFound",
                format!("The specified launch template, with template ID {id}, does not exist."),
            )
        })
    }

    fn by_name(&self, name: &str) -> Result<&LaunchTemplate, ApiError> {
        self.iter().find(|template| template.name == name).ok_or_else(|| {
            ApiError::new(
                "InvalidLaunchTemplateName.NotFoundException",
                format!("The specified launch template, with template name {name}, does not exist."),
            )
        })
    }

    /// The version that a launch's template specification means, and its data. No version is `$Default`.
    pub(crate) fn resolve(&self, specification: &Parameters) -> Result<(TemplateVersion, &Parameters), ApiError> {
        let template = self.named_by(specification)?;
        let version = template.number(specification.get("Version").unwrap_or("$Default"))?;
        Ok((TemplateVersion { id: template.id.clone(), version }, &template.version(version)?.data))
    }
}

impl LaunchTemplate {
    fn latest(&self) -> u32 {
        u32::try_from(self.versions.len()).unwrap_or(u32::MAX)
    }

    /// The number that `$Latest`, `$Default` or a number's text means. It need not exist.
    fn number(&self, text: &str) -> Result<u32, ApiError> {
        match text {
            "$Latest" => Ok(self.latest()),
            "$Default" => Ok(DEFAULT_VERSION),
            _ => text.parse().map_err(|_| ApiError::value(text, "Version", "it must be a number, $Latest or $Default")),
        }
    }

    fn version(&self, number: u32) -> Result<&Version, ApiError> {
        let index = usize::try_from(number).unwrap_or(usize::MAX).checked_sub(1);
        index.and_then(|index| self.versions.get(index)).ok_or_else(|| {
            ApiError::new(
                "InvalidLaunchTemplateId.VersionNotFound",
                format!("Could not find launch template version {number} of {}.", self.id),
            )
        })
    }

    fn element(&self, owner: &str) -> Vec<Element> {
        vec![
            Element::text("launchTemplateId", &self.id),
            Element::text("launchTemplateName", &self.name),
            Element::text("createTime", timestamp(self.created_ms)),
            Element::text("createdBy", owner),
            Element::text("defaultVersionNumber", DEFAULT_VERSION),
            Element::text("latestVersionNumber", self.latest()),
            tag_set(&self.tags),
        ]
    }

    fn version_element(&self, number: u32, owner: &str) -> Result<Vec<Element>, ApiError> {
        let version = self.version(number)?;
        let description = version.description.as_ref().map(|text| Element::text("versionDescription", text));
        Ok([
            Element::text("launchTemplateId", &self.id),
            Element::text("launchTemplateName", &self.name),
            Element::text("versionNumber", number),
            Element::text("createTime", timestamp(version.created_ms)),
            Element::text("createdBy", owner),
            Element::text("defaultVersion", number == DEFAULT_VERSION),
            Element::echo("LaunchTemplateData", &version.data),
        ]
        .into_iter()
        .chain(description)
        .collect())
    }
}

impl Ec2 {
    /// `CreateLaunchTemplate`.
    pub(crate) fn create_launch_template(&mut self, request: &Parameters) -> Result<Vec<Element>, ApiError> {
        let key = Tokens::key("CreateLaunchTemplate", None, request)?;
        let earlier = match self.tokens.earlier(key.as_ref(), request)? {
            Some(Outcome::Template { id }) => Some(id.clone()),
            _ => None,
        };
        let id = match earlier {
            Some(id) => id,
            None => self.new_template(request, key)?,
        };
        let template = self.templates.by_id(&id)?;
        Ok(vec![Element::parent("launchTemplate", template.element(&self.creator()))])
    }

    fn new_template(&mut self, request: &Parameters, key: Option<TokenKey>) -> Result<String, ApiError> {
        let name = request.required("LaunchTemplateName")?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "().-/_".contains(c);
        if !(3..=128).contains(&name.len()) || !name.chars().all(allowed) {
            return Err(ApiError::new(
                "InvalidLaunchTemplateName.MalformedException",
                "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and ().-/_.",
            ));
        }
        let data = template_data(request)?;
        let tags = specified(request, "launch-template")?;
        if self.templates.by_name(name).is_ok() {
            return Err(ApiError::new(
                "InvalidLaunchTemplateName.AlreadyExistsException",
                "Launch template name already in use.",
            ));
        }
        request.unless_dry_run()?;
        let id = self.random.id("lt");
        let version = self.version_of(request, data);
        let template = LaunchTemplate {
            id: id.clone(),
            name: name.to_owned(),
            created_ms: self.now_ms,
            tags,
            versions: vec![version],
        };
        self.templates.0.insert(id.clone(), template);
        self.record_token(key, request, Outcome::Template { id: id.clone() }, 0);
        Ok(id)
    }

    fn version_of(&self, request: &Parameters, data: Parameters) -> Version {
        let description = request.get("VersionDescription").map(str::to_owned);
        Version { description, created_ms: self.now_ms, data }
    }

    /// `CreateLaunchTemplateVersion`. With a `SourceVersion` the new data is laid over that version's.
    pub(crate) fn create_launch_template_version(&mut self, request: &Parameters) -> Result<Vec<Element>, ApiError> {
        let key = Tokens::key("CreateLaunchTemplateVersion", None, request)?;
        let earlier = match self.tokens.earlier(key.as_ref(), request)? {
            Some(Outcome::TemplateVersion { id, version }) => Some((id.clone(), *version)),
            _ => None,
        };
        let (id, version) = match earlier {
            Some(made) => made,
            None => self.new_version(request, key)?,
        };
        let element = self.templates.by_id(&id)?.version_element(version, &self.creator())?;
        Ok(vec![Element::parent("launchTemplateVersion", element)])
    }

    fn new_version(&mut self, request: &Parameters, key: Option<TokenKey>) -> Result<(String, u32), ApiError> {
        let template = self.templates.named_by(request)?;
        let mut data = template_data(request)?;
        if let Some(source) = request.get("SourceVersion") {
            data = data.over(&template.version(template.number(source)?)?.data);
        }
        request.unless_dry_run()?;
        let (id, number, version) = (template.id.clone(), template.latest() + 1, self.version_of(request, data));
        if let Some(template) = self.templates.get_mut(&id) {
            template.versions.push(version);
        }
        self.record_token(key, request, Outcome::TemplateVersion { id: id.clone(), version: number }, 0);
        Ok((id, number))
    }

    /// `DescribeLaunchTemplates`.
    pub(crate) fn describe_launch_templates(&self, request: &Parameters) -> Result<Vec<Element>, ApiError> {
        let filters = Filters::parse(request, &["launch-template-name", "tag-key", "tag:"])?;
        let page = Page::parse(request, 1..=200, Some("LaunchTemplateId"))?;
        let (ids, names) = (request.values("LaunchTemplateId"), request.values("LaunchTemplateName"));
        for id in &ids {
            self.templates.by_id(id)?;
        }
        for name in &names {
            self.templates.by_name(name)?;
        }
        request.unless_dry_run()?;
        let asked_for = |template: &&LaunchTemplate| {
            (ids.is_empty() && names.is_empty())
                || ids.contains(&template.id.as_str())
                || names.contains(&template.name.as_str())
        };
        let pass = |template: &&LaunchTemplate| {
            filters.pass(|name| match name {
                "launch-template-name" => vec![template.name.clone()],
                _ => tag_facts(&template.tags, name),
            })
        };
        let owner = self.creator();
        let rows = self.templates.iter().filter(asked_for).filter(pass);
        let (rows, next) = page.cut(rows.map(|template| (template.id.clone(), template.element(&owner))));
        Ok([Element::list("launchTemplates", rows)]
            .into_iter()
            .chain(next.map(|token| Element::text("nextToken", token)))
            .collect())
    }

    /// `DescribeLaunchTemplateVersions` of one template, newest first as on AWS.
    pub(crate) fn describe_launch_template_versions(&self, request: &Parameters) -> Result<Vec<Element>, ApiError> {
        let page = Page::parse(request, 1..=200, None)?;
        let template = self.templates.named_by(request)?;
        let bound = |name: &str| request.get(name).map(|text| template.number(text)).transpose();
        let (first, last) = (bound("MinVersion")?.unwrap_or(1), bound("MaxVersion")?.unwrap_or(u32::MAX));
        let asked = request.values("LaunchTemplateVersion");
        let mut numbers = Vec::new();
        for text in &asked {
            let number = template.number(text)?;
            template.version(number)?;
            numbers.push(number);
        }
        request.unless_dry_run()?;
        let owner = self.creator();
        let mut rows = Vec::new();
        for number in (1..=template.latest()).rev() {
            if (first..=last).contains(&number) && (asked.is_empty() || numbers.contains(&number)) {
                // Keys must grow along the list, and the list goes down.
                rows.push((format!("{:010}", u32::MAX - number), template.version_element(number, &owner)?));
            }
        }
        let (rows, next) = page.cut(rows.into_iter());
        Ok([Element::list("launchTemplateVersionSet", rows)]
            .into_iter()
            .chain(next.map(|token| Element::text("nextToken", token)))
            .collect())
    }

    fn creator(&self) -> String {
        format!("arn:aws:iam::{}:root", self.config.account_id)
    }
}

fn template_data(request: &Parameters) -> Result<Parameters, ApiError> {
    let data = request.at("LaunchTemplateData").cloned().ok_or_else(|| ApiError::missing("LaunchTemplateData"))?;
    specified(&data, "instance")?;
    Ok(data)
}
