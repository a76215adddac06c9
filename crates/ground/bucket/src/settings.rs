use std::collections::BTreeMap;
use std::fmt;

/// Settings of remote stores by the names that the environment has for them, such as
/// `AWS_ACCESS_KEY_ID` or `AWS_ENDPOINT_URL`. They win over the environment. Values are never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    #[cfg(any(feature = "s3", feature = "gs", feature = "az"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<Name: Into<String>, Value: Into<String>> FromIterator<(Name, Value)> for Settings {
    fn from_iter<Pairs: IntoIterator<Item = (Name, Value)>>(pairs: Pairs) -> Self {
        let pairs = pairs.into_iter();
        Self(pairs.map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_hidden() {
        let settings = Settings::from_iter([("AWS_SECRET_ACCESS_KEY", "hunter2")]);
        assert_eq!(format!("{settings:?}"), r#"{"AWS_SECRET_ACCESS_KEY"}"#);
    }
}
