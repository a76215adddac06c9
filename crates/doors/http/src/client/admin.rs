//! What an operator asks a node for.

use bytes::BytesMut;
use cairn_base::ErrorKind;
use cairn_datasets::{Dataset, Error};
use futures::StreamExt as _;
use reqwest::Method;

use super::http::{Again, Node, strange};
use super::store::dataset_path;
use crate::api::{
    Collect, Collected, CreatePrincipal, CreateToken, CreatedToken, Explain, Explained, GrantBody,
    Grants, NamedGrant, NodeVersion, PrincipalBody, Principals, Removed, Tokens, Usage, Verified,
    VerifyLine, WhoAmIBody,
};

/// The longest line of an answer.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

impl Node {
    /// What the node is.
    ///
    /// # Errors
    /// [`Error::Remote`], as everywhere here: what the node said, or that it cannot be reached.
    pub async fn version(&self) -> Result<NodeVersion, Error> {
        self.get(&["api", "v1", "version"], &[]).await
    }

    /// What is stored.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn usage(&self) -> Result<Usage, Error> {
        self.get(&["api", "v1", "usage"], &[]).await
    }

    /// Collects what nothing reaches any more.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn collect(&self, how: &Collect) -> Result<Collected, Error> {
        let path = ["api", "v1", "maintenance", "collect"];
        self.call(Method::POST, &path, how, Again::Unsent).await
    }

    /// Verifies everything, and tells how many bytes were read so far.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn verify(&self, progress: impl Fn(u64) + Send) -> Result<Verified, Error> {
        let path = ["api", "v1", "maintenance", "verify"];
        let response = self.send(Method::POST, &path, &[], None, Again::Unsent).await?;
        let mut pieces = Box::pin(self.pieces(response));
        let mut held = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            held.extend_from_slice(&piece?);
            while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line = held.split_to(end + 1);
                let line = serde_json::from_slice(&line)
                    .map_err(|error| strange(&format!("a line of its answer: {error}")))?;
                match line {
                    VerifyLine::Progress { bytes } => progress(bytes),
                    VerifyLine::Result(verified) => return Ok(verified),
                    VerifyLine::Error { kind, message } => {
                        let kind = ErrorKind::parse(&kind).unwrap_or(ErrorKind::Internal);
                        return Err(Error::Remote { kind, message });
                    }
                }
            }
            if held.len() > LINE_BYTES_MAX {
                return Err(strange("a line of its answer is too long"));
            }
        }
        Err(strange("the verification ended without a result"))
    }

    /// Removes all tags of a dataset.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn remove_dataset(&self, dataset: &Dataset) -> Result<Removed, Error> {
        self.delete_for(&dataset_path(dataset)).await
    }

    /// What the caller may know of itself.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn whoami(&self) -> Result<WhoAmIBody, Error> {
        self.get(&["api", "v1", "access", "whoami"], &[]).await
    }

    /// All principals.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn principals(&self) -> Result<Principals, Error> {
        self.get(&["api", "v1", "access", "principals"], &[]).await
    }

    /// Makes a principal.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn create_principal(&self, name: &str) -> Result<PrincipalBody, Error> {
        let body = CreatePrincipal { name: name.to_owned() };
        let path = ["api", "v1", "access", "principals"];
        self.call(Method::POST, &path, &body, Again::Unsent).await
    }

    /// Removes a principal with its tokens and grants.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn remove_principal(&self, name: &str) -> Result<(), Error> {
        self.delete(&["api", "v1", "access", "principals", name]).await
    }

    /// All tokens, without what they are.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn tokens(&self) -> Result<Tokens, Error> {
        self.get(&["api", "v1", "access", "tokens"], &[]).await
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn create_token(&self, token: &CreateToken) -> Result<CreatedToken, Error> {
        let path = ["api", "v1", "access", "tokens"];
        self.call(Method::POST, &path, token, Again::Unsent).await
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn revoke_token(&self, id: &str) -> Result<(), Error> {
        self.delete(&["api", "v1", "access", "tokens", id]).await
    }

    /// All grants.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn grants(&self) -> Result<Grants, Error> {
        self.get(&["api", "v1", "access", "grants"], &[]).await
    }

    /// Adds a grant; adding it twice is adding it once.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn add_grant(&self, grant: &GrantBody) -> Result<NamedGrant, Error> {
        let path = ["api", "v1", "access", "grants"];
        self.call(Method::POST, &path, grant, Again::Yes).await
    }

    /// Removes a grant.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn remove_grant(&self, id: &str) -> Result<(), Error> {
        self.delete(&["api", "v1", "access", "grants", id]).await
    }

    /// What would be decided, and why.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn explain(&self, question: &Explain) -> Result<Explained, Error> {
        let path = ["api", "v1", "access", "explain"];
        self.call(Method::POST, &path, question, Again::Yes).await
    }

    pub(super) async fn delete(&self, path: &[&str]) -> Result<(), Error> {
        self.send(Method::DELETE, path, &[], None, Again::Unsent).await?;
        Ok(())
    }

    async fn delete_for<T: serde::de::DeserializeOwned>(&self, path: &[&str]) -> Result<T, Error> {
        let response = self.send(Method::DELETE, path, &[], None, Again::Unsent).await?;
        self.json(response).await
    }
}
