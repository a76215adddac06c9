//! Who can be given something: principals, users of identity providers, groups of both, and the two
//! subjects that stand for many.
//!
//! | text | subject |
//! |---|---|
//! | `anonymous` | every caller |
//! | `authenticated` | every caller with a credential that holds |
//! | `NAME` | a principal of this bucket |
//! | `PROVIDER/NAME` | a user of an identity provider, as its claim says |
//! | `function/@PROJECT/NAME` | a function of this cluster |
//! | `group:NAME` | principals of this bucket that are in a group |
//! | `group:PROVIDER/NAME` | users of an identity provider that are in a group, as its claim says |

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use cairn_base::{DatasetName, ProjectName, TagName, name};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The subject of every caller, with a credential or without.
pub const ANONYMOUS: &str = "anonymous";
/// The subject of every caller who showed a credential that holds.
pub const AUTHENTICATED: &str = "authenticated";
/// The principal that the first start makes.
pub const ROOT: &str = "root";

/// The provider that functions are users of: the cluster itself. No other has this name.
pub const FUNCTIONS: &str = "function";

/// What the text of a group's subject begins with.
const GROUP_PREFIX: &str = "group:";
/// The longest name that a provider gives, in bytes, as it is kept.
const FOREIGN_NAME_BYTES_MAX: usize = 255;

/// The rules of `cairn_base::name`, with errors that say which name it is about.
fn check(what: &'static str, text: &str) -> Result<(), name::Error> {
    match text.parse::<TagName>() {
        Ok(_) => Ok(()),
        Err(name::Error::Empty { .. }) => Err(name::Error::Empty { what }),
        Err(name::Error::Long { len, .. }) => Err(name::Error::Long { what, len }),
        Err(name::Error::Character { name, found, at, .. }) => {
            Err(name::Error::Character { what, name, found, at })
        }
        Err(other) => Err(other),
    }
}

macro_rules! text_type {
    ($(#[$doc:meta])* $type:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                let check: fn(&str) -> Result<(), Error> = $check;
                check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_type!(
    /// The name of a principal, by the rules of `cairn_base::name`. `anonymous` and `authenticated`
    /// are taken: they are [`Subject`]s of their own.
    PrincipalName,
    |text| {
        if text == ANONYMOUS || text == AUTHENTICATED {
            return Err(Error::Reserved { name: text.to_owned() });
        }
        Ok(check("principal name", text)?)
    }
);

text_type!(
    /// What a person calls a token, by the rules of `cairn_base::name`, so that it prints safely.
    Label,
    |text| Ok(check("token name", text)?)
);

text_type!(
    /// The name of an identity provider, by the rules of `cairn_base::name`.
    ProviderName,
    |text| Ok(check("provider name", text)?)
);

text_type!(
    /// A user of an identity provider: `PROVIDER/NAME`.
    UserName,
    |text| match text.split_once('/') {
        Some((provider, name)) => check_foreign("user name", provider, name),
        None => Err(Error::Foreign { name: text.to_owned() }),
    }
);

text_type!(
    /// A group: `NAME`, of principals of this bucket, or `PROVIDER/NAME`.
    GroupName,
    |text| match text.split_once('/') {
        Some((provider, name)) => check_foreign("group name", provider, name),
        None => Ok(check("group name", text)?),
    }
);

/// A name that a provider gave is kept in a form without spaces: what is not a letter, a digit or one
/// of `._@+:/-` is percent-encoded.
fn check_foreign(what: &'static str, provider: &str, name: &str) -> Result<(), Error> {
    check("provider name", provider)?;
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"._@+:/-%".contains(&byte);
    if name.is_empty() {
        return Err(name::Error::Empty { what }.into());
    }
    if name.len() > FOREIGN_NAME_BYTES_MAX {
        return Err(name::Error::Long { what, len: name.len() }.into());
    }
    if !name.bytes().all(kept) {
        return Err(Error::Foreign { name: name.chars().take(64).collect() });
    }
    Ok(())
}

fn encode_foreign(provider: &ProviderName, name: &str) -> String {
    let mut text = format!("{provider}/");
    for byte in name.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"._@+:/-".contains(&byte) => {
                text.push(char::from(byte));
            }
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

impl UserName {
    /// The user that a provider calls `name`.
    ///
    /// # Errors
    /// [`Error::Name`] when the name is empty or too long.
    pub fn of(provider: &ProviderName, name: &str) -> Result<Self, Error> {
        encode_foreign(provider, name).parse()
    }

    /// A function of this cluster, `@PROJECT/NAME`.
    ///
    /// # Errors
    /// [`Error::Name`] when the name is empty or too long.
    pub(crate) fn of_function(function: &str) -> Result<Self, Error> {
        Self::of(&ProviderName(FUNCTIONS.to_owned()), function)
    }

    /// Refuses what begins as the name of a function, and cannot be one's.
    pub(crate) fn check_function(&self) -> Result<(), Error> {
        let Some((FUNCTIONS, function)) = self.0.split_once('/') else { return Ok(()) };
        let function = function.strip_prefix('@').and_then(|function| function.split_once('/'));
        let is_one = |(project, name): (&str, &str)| {
            project.parse::<ProjectName>().is_ok() && name.parse::<DatasetName>().is_ok()
        };
        match function {
            Some(function) if is_one(function) => Ok(()),
            _ => Err(Error::Function { name: self.clone() }),
        }
    }

    /// Whose user it is.
    #[must_use]
    pub fn provider(&self) -> &str {
        self.0.split_once('/').map_or("", |(provider, _)| provider)
    }
}

impl GroupName {
    /// The group that a provider calls `name`.
    ///
    /// # Errors
    /// [`Error::Name`] when the name is empty or too long.
    pub fn of(provider: &ProviderName, name: &str) -> Result<Self, Error> {
        encode_foreign(provider, name).parse()
    }

    /// Whether its members are principals of this bucket.
    #[must_use]
    pub fn is_local(&self) -> bool {
        !self.0.contains('/')
    }
}

/// Who a credential stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Owner {
    /// A principal of this bucket.
    Principal(PrincipalName),
    /// A user of an identity provider.
    User(UserName),
}

impl Owner {
    /// The principal, when it is one.
    #[must_use]
    pub fn principal(&self) -> Option<&PrincipalName> {
        match self {
            Self::Principal(name) => Some(name),
            Self::User(_) => None,
        }
    }

    /// Its name: `NAME` or `PROVIDER/NAME`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Principal(name) => name.as_str(),
            Self::User(name) => name.as_str(),
        }
    }
}

impl FromStr for Owner {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.contains('/') {
            true => text.parse().map(Self::User),
            false => text.parse().map(Self::Principal),
        }
    }
}

impl TryFrom<String> for Owner {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.as_str().to_owned()
    }
}

impl From<PrincipalName> for Owner {
    fn from(name: PrincipalName) -> Self {
        Self::Principal(name)
    }
}

impl From<&Owner> for Subject {
    fn from(owner: &Owner) -> Self {
        match owner {
            Owner::Principal(name) => Self::Principal(name.clone()),
            Owner::User(name) => Self::User(name.clone()),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PrincipalName {
    /// The principal that the first start makes.
    #[must_use]
    pub fn root() -> Self {
        Self(ROOT.to_owned())
    }
}

impl Label {
    pub(crate) fn session() -> Self {
        Self("session".to_owned())
    }

    pub(crate) fn root() -> Self {
        Self(ROOT.to_owned())
    }
}

/// Somebody or something that acts: a person, a program, a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// Its name, by which grants and tokens refer to it.
    pub name: PrincipalName,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// The groups of this bucket that it is in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<GroupName>,
}

impl Principal {
    /// One that is in no group.
    #[must_use]
    pub fn new(name: PrincipalName, created_ms: i64) -> Self {
        Self { name, created_ms, groups: BTreeSet::new() }
    }
}

/// Whom a grant is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// Every caller, also without a credential.
    Anonymous,
    /// Every caller with a credential that holds.
    Authenticated,
    /// One principal.
    Principal(PrincipalName),
    /// One user of an identity provider.
    User(UserName),
    /// Everybody in a group.
    Group(GroupName),
}

impl FromStr for Subject {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            ANONYMOUS => Ok(Self::Anonymous),
            AUTHENTICATED => Ok(Self::Authenticated),
            text => match text.strip_prefix(GROUP_PREFIX) {
                Some(group) => group.parse().map(Self::Group),
                None if text.contains('/') => text.parse().map(Self::User),
                None => text.parse().map(Self::Principal),
            },
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str(ANONYMOUS),
            Self::Authenticated => f.write_str(AUTHENTICATED),
            Self::Principal(name) => name.fmt(f),
            Self::User(name) => name.fmt(f),
            Self::Group(name) => write!(f, "{GROUP_PREFIX}{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_all_names() {
        for good in ["root", "ci", "a", "lab.7_x-1", "Anonymous"] {
            assert_eq!(good.parse::<PrincipalName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a b", "a/b", "a*", "a\u{1b}[31m", "é", &"a".repeat(129)] {
            assert!(matches!(bad.parse::<PrincipalName>(), Err(Error::Name(_))), "{bad:?}");
            assert!(matches!(bad.parse::<Label>(), Err(Error::Name(_))), "{bad:?}");
            // A slash makes it another provider's user.
            assert!(bad.contains('/') || bad.parse::<Subject>().is_err(), "{bad:?}");
        }
        let error = "a b".parse::<PrincipalName>().unwrap_err().to_string();
        assert!(error.starts_with("the principal name \"a b\" has ' ' at byte 1"), "{error}");
    }

    /// ACCESS-2: no principal can be mistaken for the subject of everybody.
    #[test]
    fn access_2_nobody_is_called_anonymous() {
        for reserved in [ANONYMOUS, AUTHENTICATED] {
            assert!(matches!(reserved.parse::<PrincipalName>(), Err(Error::Reserved { .. })));
            assert!(!matches!(reserved.parse(), Ok(Subject::Principal(_))));
        }
    }

    /// Names that providers give are kept so that no two of them are one subject, and none is a
    /// principal of this bucket.
    #[test]
    fn foreign_names_are_kept_apart() {
        let corp: ProviderName = "corp".parse().unwrap();
        for (given, kept) in [
            ("alice@example.org", "corp/alice@example.org"),
            ("Domain Users", "corp/Domain%20Users"),
            ("a%20b", "corp/a%2520b"),
            ("root", "corp/root"),
            ("grüße", "corp/gr%C3%BC%C3%9Fe"),
            ("\u{1b}[31m", "corp/%1B%5B31m"),
            ("a/b", "corp/a/b"),
        ] {
            let user = UserName::of(&corp, given).unwrap();
            assert_eq!((user.as_str(), user.provider()), (kept, "corp"));
            assert_eq!(kept.parse::<Subject>().unwrap(), Subject::User(user));
            let group = Subject::Group(GroupName::of(&corp, given).unwrap());
            assert_eq!(group.to_string(), format!("group:{kept}"));
            assert_eq!(group.to_string().parse::<Subject>().unwrap(), group);
            assert!(matches!(kept.parse(), Ok(Owner::User(_))));
        }
        assert!(UserName::of(&corp, "").is_err());
        assert!(UserName::of(&corp, &"a".repeat(256)).is_err());
        for bad in ["group:", "group:a b", "corp/", "/a", "corp/a b", "co rp/a", "group:corp/"] {
            assert!(bad.parse::<Subject>().is_err(), "{bad:?}");
        }
        assert!("staff".parse::<GroupName>().unwrap().is_local());
    }
}
