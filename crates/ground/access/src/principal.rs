//! Who can be given something: principals, and the two subjects that stand for many.

use std::fmt;
use std::str::FromStr;

use cairn_base::{TagName, name};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The subject of every caller, with a credential or without.
pub const ANONYMOUS: &str = "anonymous";
/// The subject of every caller who showed a credential that holds.
pub const AUTHENTICATED: &str = "authenticated";
/// The principal that the first start makes.
pub const ROOT: &str = "root";

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

impl PrincipalName {
    /// The principal that the first start makes.
    #[must_use]
    pub fn root() -> Self {
        Self(ROOT.to_owned())
    }
}

impl Label {
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
}

impl Subject {
    /// `anonymous`, `authenticated`, or the principal's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Anonymous => ANONYMOUS,
            Self::Authenticated => AUTHENTICATED,
            Self::Principal(name) => name.as_str(),
        }
    }
}

impl FromStr for Subject {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            ANONYMOUS => Ok(Self::Anonymous),
            AUTHENTICATED => Ok(Self::Authenticated),
            name => name.parse().map(Self::Principal),
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
        subject.as_str().to_owned()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
            assert!(bad.parse::<Subject>().is_err(), "{bad:?}");
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
}
