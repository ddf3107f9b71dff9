//! The rules of `template.yaml`: which parameters do not go together, before anything is deployed. No emulator looks at
//! them, so they are carried out here, as CloudFormation does
//! (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-rules.html>).

use std::collections::BTreeMap;

use pool_tests::template;
use serde_yaml_ng::Value;

type Parameters = BTreeMap<String, String>;

/// The value of an expression: a text, a list of texts, or a truth.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Text(String),
    List(Vec<String>),
    Truth(bool),
}

impl Seen {
    fn truth(self) -> bool {
        let Self::Truth(truth) = self else { panic!("{self:?} is no truth") };
        truth
    }

    fn list(self) -> Vec<String> {
        match self {
            Self::List(list) => list,
            Self::Text(text) => vec![text],
            Self::Truth(_) => panic!("{self:?} is no list"),
        }
    }
}

struct Rules {
    template: Value,
}

impl Rules {
    fn read() -> Self {
        Self { template: template::read() }
    }

    fn parameter(&self, name: &str, given: &Parameters) -> Seen {
        let parameter = &self.template["Parameters"][name];
        assert!(parameter.is_mapping(), "{name} is no parameter");
        let default = match &parameter["Default"] {
            Value::Number(number) => number.to_string(),
            other => other.as_str().unwrap_or_default().to_owned(),
        };
        let value = given.get(name).cloned().unwrap_or(default);
        if parameter["Type"] == "CommaDelimitedList" {
            Seen::List(value.split(',').map(str::to_owned).collect())
        } else {
            Seen::Text(value)
        }
    }

    fn value(&self, expression: &Value, given: &Parameters) -> Seen {
        let Value::Tagged(tagged) = expression else {
            return match expression {
                Value::Sequence(items) => {
                    Seen::List(items.iter().map(|item| item.as_str().expect("a text").to_owned()).collect())
                }
                other => Seen::Text(other.as_str().expect("a text").to_owned()),
            };
        };
        let of = |place: usize| self.value(&tagged.value[place], given);
        let all = || tagged.value.as_sequence().expect("a list").iter().map(|item| self.value(item, given).truth());
        match tagged.tag.to_string().as_str() {
            "!Ref" => self.parameter(tagged.value.as_str().expect("a name"), given),
            "!Equals" => Seen::Truth(of(0) == of(1)),
            "!Not" => Seen::Truth(!of(0).truth()),
            "!Or" => Seen::Truth(all().any(|truth| truth)),
            "!And" => Seen::Truth(all().all(|truth| truth)),
            "!Contains" => Seen::Truth(of(1).list().iter().all(|item| of(0).list().contains(item))),
            "!EachMemberIn" => Seen::Truth(of(0).list().iter().all(|item| of(1).list().contains(item))),
            other => panic!("{other} is not known here"),
        }
    }

    /// What is told of these parameters.
    fn told(&self, given: &[(&str, &str)]) -> Vec<&str> {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let rules = self.template["Rules"].as_mapping().expect("there are rules").values();
        let asked = rules
            .filter(|rule| rule.get("RuleCondition").is_none_or(|condition| self.value(condition, &given).truth()));
        let assertions = asked.flat_map(|rule| rule["Assertions"].as_sequence().expect("a list"));
        let broken = assertions.filter(|assertion| !self.value(&assertion["Assert"], &given).truth());
        broken.map(|assertion| assertion["AssertDescription"].as_str().expect("a text")).collect()
    }
}

#[test]
fn parameters_that_do_not_go_together_are_refused_by_name() {
    let rules = Rules::read();
    let cidr = ("AllowedCidr", "10.0.0.0/8");
    assert_eq!(rules.told(&[cidr]), [""; 0]);
    assert_eq!(rules.told(&[("AllowedSecurityGroupId", "sg-0123456789abcdef0")]), [""; 0]);
    let own = [cidr, ("VpcId", "vpc-0123456789abcdef0"), ("SubnetIds", "subnet-0a,subnet-0b")];
    assert_eq!(rules.told(&own), [""; 0]);
    let tokens = [cidr, ("JwtIssuer", "https://issuer.example"), ("JwtAudience", "pool,other")];
    assert_eq!(rules.told(&tokens), [""; 0]);

    let repository = ("ServiceRepository", "https://git.example/service");
    let kind = ("ServiceKind", "own");
    assert_eq!(rules.told(&[cidr, kind, repository]), [""; 0]);
    for (given, named) in [
        (vec![], vec!["AllowedCidr", "AllowedSecurityGroupId"]),
        (vec![cidr, ("SubnetIds", "subnet-0a")], vec!["SubnetIds", "VpcId"]),
        (vec![cidr, ("VpcId", "vpc-0123456789abcdef0")], vec!["SubnetIds", "VpcId"]),
        (vec![cidr, ("JwtIssuer", "https://issuer.example")], vec!["JwtIssuer", "JwtAudience"]),
        (
            vec![cidr, kind, repository, ("ServiceS3Uri", "s3://bucket/service.tar.gz")],
            vec!["ServiceRepository", "ServiceS3Uri"],
        ),
        (vec![cidr, ("SessionsPerInstance", "2"), ("AfterRelease", "recycle")], vec!["SessionsPerInstance", "recycle"]),
        (vec![cidr, ("SessionsPerInstance", "2"), ("StoppedSize", "1")], vec!["SessionsPerInstance", "StoppedSize"]),
        (vec![cidr, kind], vec!["ServiceKind", "ServiceRepository", "ServiceS3Uri"]),
        (vec![cidr, repository], vec!["ServiceKind=own", "ServiceRepository"]),
    ] {
        let told = rules.told(&given);
        let [told] = told[..] else { panic!("{given:?}: one thing is wrong, and told was {told:?}") };
        assert!(named.iter().all(|name| told.contains(name)), "{given:?}: {told}");
    }
}
