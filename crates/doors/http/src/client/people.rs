//! What people and nodes ask for about themselves: logins, passwords, certificates, providers, joining.

use cairn_datasets::Error;
use reqwest::Method;

use super::http::{Again, Node, strange};
use super::trust::Trust;
use crate::api::{
    AddCertificate, CertificateBody, Certificates, ChangePassword, ClusterNodes, DeviceAsked,
    DeviceBegun, DeviceWaits, Join, JoinToken, JoinedNode, LoginWays, MakeJoinToken, Opened,
    PasswordLogin, ProviderBody, Providers, SessionsEnded, SetGroups, SetPassword, SetProvider,
};

/// What came of a device login so far.
pub enum DevicePolled {
    /// Somebody logged in.
    Opened(Opened),
    /// Nobody yet.
    Waits(DeviceWaits),
}

/// The longest certificate of an authority, in bytes.
const AUTHORITY_BYTES_MAX: usize = 64 * 1024;

const ACCESS: [&str; 3] = ["api", "v1", "access"];
const LOGIN: [&str; 3] = ["api", "v1", "login"];
const CLUSTER: [&str; 3] = ["api", "v1", "cluster"];

fn below<'a>(above: &[&'a str; 3], rest: &[&'a str]) -> Vec<&'a str> {
    [above.as_slice(), rest].concat()
}

impl Node {
    /// How one can log in.
    ///
    /// # Errors
    /// [`Error::Remote`], as everywhere here: what the node said, or that it cannot be reached.
    pub async fn login_ways(&self) -> Result<LoginWays, Error> {
        self.get(&LOGIN, &[]).await
    }

    /// Opens a session by a password.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn login(&self, user: &str, password: &str) -> Result<Opened, Error> {
        let body = PasswordLogin { user: user.to_owned(), password: password.to_owned() };
        self.call(Method::POST, &below(&LOGIN, &["password"]), &body, Again::Unsent).await
    }

    /// Begins a login by an identity provider.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn begin_device(&self, provider: &str) -> Result<DeviceBegun, Error> {
        let path = below(&LOGIN, &["device", provider]);
        let response = self.send(Method::POST, &path, &[], None, Again::Unsent).await?;
        self.json(response).await
    }

    /// Asks whether somebody has logged in.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn poll_device(&self, provider: &str, code: &str) -> Result<DevicePolled, Error> {
        let body = serde_json::to_vec(&DeviceAsked { device_code: code.to_owned() })
            .map_err(|error| strange(&error.to_string()))?;
        let path = below(&LOGIN, &["device", provider, "poll"]);
        let response = self
            .send(Method::POST, &path, &[], Some(("application/json", body.into())), Again::Unsent)
            .await?;
        match response.status().as_u16() {
            202 => self.json(response).await.map(DevicePolled::Waits),
            _ => self.json(response).await.map(DevicePolled::Opened),
        }
    }

    /// Ends the session by whose token this client comes.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn logout(&self) -> Result<(), Error> {
        self.delete(&LOGIN).await
    }

    /// Ends all sessions of whose token this client comes by, and says how many there were.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn logout_everywhere(&self) -> Result<u64, Error> {
        let path = below(&LOGIN, &["sessions"]);
        let response = self.send(Method::DELETE, &path, &[], None, Again::Yes).await?;
        Ok(self.json::<SessionsEnded>(response).await?.ended)
    }

    /// Sets a principal's password, or takes it away.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn set_password(&self, name: &str, password: Option<String>) -> Result<(), Error> {
        let path = below(&ACCESS, &["principals", name, "password"]);
        self.put(&path, &SetPassword { password }).await
    }

    /// Changes the caller's own password.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn change_password(&self, current: String, new: String) -> Result<(), Error> {
        self.put(&below(&ACCESS, &["password"]), &ChangePassword { current, new }).await
    }

    /// Sets the groups that a principal is in.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn set_groups(&self, name: &str, groups: &[String]) -> Result<(), Error> {
        let path = below(&ACCESS, &["principals", name, "groups"]);
        self.put(&path, &SetGroups { groups: groups.to_vec() }).await
    }

    /// All client certificates.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn certificates(&self) -> Result<Certificates, Error> {
        self.get(&below(&ACCESS, &["certificates"]), &[]).await
    }

    /// Registers a client certificate.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn add_certificate(&self, add: &AddCertificate) -> Result<CertificateBody, Error> {
        self.call(Method::POST, &below(&ACCESS, &["certificates"]), add, Again::Yes).await
    }

    /// Takes a client certificate back.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn remove_certificate(&self, fingerprint: &str) -> Result<(), Error> {
        self.delete(&below(&ACCESS, &["certificates", fingerprint])).await
    }

    /// All identity providers.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn providers(&self) -> Result<Providers, Error> {
        self.get(&below(&ACCESS, &["providers"]), &[]).await
    }

    /// Adds an identity provider, or changes the one of that name.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn set_provider(&self, name: &str, set: &SetProvider) -> Result<ProviderBody, Error> {
        self.call(Method::PUT, &below(&ACCESS, &["providers", name]), set, Again::Yes).await
    }

    /// Removes an identity provider.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn remove_provider(&self, name: &str) -> Result<(), Error> {
        self.delete(&below(&ACCESS, &["providers", name])).await
    }

    /// The certificate of the cluster's authority, PEM.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn authority(&self) -> Result<String, Error> {
        let path = below(&CLUSTER, &["authority"]);
        let response = self.send(Method::GET, &path, &[], None, Again::Yes).await?;
        let bytes = self.whole(response, AUTHORITY_BYTES_MAX).await?;
        String::from_utf8(bytes.to_vec()).map_err(|_| strange("its authority is no text"))
    }

    /// Makes a join token.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn make_join_token(&self, expires_in_seconds: u64) -> Result<JoinToken, Error> {
        let path = below(&CLUSTER, &["join-tokens"]);
        self.call(Method::POST, &path, &MakeJoinToken { expires_in_seconds }, Again::Unsent).await
    }

    /// Joins with a token and the request of a key.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn join(&self, join: &Join) -> Result<JoinedNode, Error> {
        self.call(Method::POST, &below(&CLUSTER, &["join"]), join, Again::Unsent).await
    }

    /// The nodes that joined.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn cluster_nodes(&self) -> Result<ClusterNodes, Error> {
        self.get(&below(&CLUSTER, &["nodes"]), &[]).await
    }

    async fn put<T: serde::Serialize>(&self, path: &[&str], body: &T) -> Result<(), Error> {
        let body = serde_json::to_vec(body).map_err(|error| strange(&error.to_string()))?;
        self.send(Method::PUT, path, &[], Some(("application/json", body.into())), Again::Unsent)
            .await?;
        Ok(())
    }
}

impl Trust {
    /// Trust in the node at `url` by the SHA-256 of its cluster's authority, as an administrator tells
    /// it: the certificate is fetched from there without trust, and taken only when it is the one.
    /// Nothing secret is sent.
    ///
    /// # Errors
    /// [`Error::Remote`]; [`Error::Invalid`] when the node has another authority.
    pub async fn by_sha256(
        url: &str,
        sha256: [u8; 32],
        env: &cairn_env::Env,
    ) -> Result<Self, Error> {
        let blind = Self { blind: true, ..Self::default() };
        let pem = Node::with_trust(url, None, &blind, env)?.authority().await?;
        let read = cairn_mesh::certificate::read_pem(pem.as_bytes());
        let same = read.is_ok_and(|read| read.sha256 == sha256);
        if !same {
            let detail = format!(
                "{url} belongs to another cluster, or somebody is between: its authority is not the \
                 one that was asked for"
            );
            return Err(Error::Invalid { detail });
        }
        Ok(Self { authority: Some(pem.into_bytes()), ..Self::default() })
    }
}
