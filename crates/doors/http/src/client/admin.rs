//! What an operator asks a node for.

use bytes::BytesMut;
use cairn_base::ErrorKind;
use cairn_datasets::{Dataset, Error};
use futures::{Stream, StreamExt as _};
use reqwest::Method;
use serde::de::DeserializeOwned;

use super::http::{Again, Node, strange};
use super::store::dataset_path;
use crate::api::{
    AuditLine, AuditVerified, AuditVerify, AuditVerifyLine, Collect, Collected, CreatePrincipal,
    CreateToken, CreatedToken, Doctor, Explain, Explained, GrantBody, Grants, NamedGrant,
    NodeVersion, PrincipalBody, Principals, Removed, Tokens, Usage, Verified, VerifyLine,
    WhoAmIBody,
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

    /// What the node finds out about itself.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn doctor(&self) -> Result<Doctor, Error> {
        self.get(&["api", "v1", "doctor"], &[]).await
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
        let mut lines = Box::pin(self.lines(response));
        while let Some(line) = lines.next().await {
            match line? {
                VerifyLine::Progress { bytes } => progress(bytes),
                VerifyLine::Result(verified) => return Ok(verified),
                VerifyLine::Error { kind, message } => return Err(told(&kind, message)),
            }
        }
        Err(strange("the verification ended without a result"))
    }

    /// Reads the audit log: parameters as of `GET /api/v1/audit`.
    ///
    /// # Errors
    /// [`Error::Remote`], also as an item, after which there is no other.
    pub async fn audit(
        &self,
        query: &[(&str, &str)],
    ) -> Result<impl Stream<Item = Result<AuditLine, Error>> + Send + use<>, Error> {
        let path = ["api", "v1", "audit"];
        let response = self.send(Method::GET, &path, query, None, Again::Yes).await?;
        Ok(self.lines(response))
    }

    /// Verifies the audit log, and tells which segment was looked at.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn audit_verify(
        &self,
        what: &AuditVerify,
        progress: impl Fn(u64) + Send,
    ) -> Result<AuditVerified, Error> {
        let path = ["api", "v1", "audit", "verify"];
        let body = serde_json::to_vec(what)
            .map_err(|error| Error::Invalid { detail: format!("a request is no JSON: {error}") })?;
        let body = Some(("application/json", body.into()));
        let response = self.send(Method::POST, &path, &[], body, Again::Yes).await?;
        let mut lines = Box::pin(self.lines(response));
        while let Some(line) = lines.next().await {
            match line? {
                AuditVerifyLine::Progress { seq } => progress(seq),
                AuditVerifyLine::Result(verified) => return Ok(verified),
                AuditVerifyLine::Error { kind, message } => return Err(told(&kind, message)),
            }
        }
        Err(strange("the verification ended without a result"))
    }

    /// An answer as lines of JSON; empty ones say nothing.
    fn lines<T: DeserializeOwned + Send + 'static>(
        &self,
        response: reqwest::Response,
    ) -> impl Stream<Item = Result<T, Error>> + Send + use<T> {
        let state = (Box::pin(self.pieces(response)), BytesMut::new(), 0);
        futures::stream::try_unfold(state, |(mut pieces, mut held, mut seen)| async move {
            loop {
                let end = held[seen..].iter().position(|byte| *byte == b'\n');
                if let Some(end) = end {
                    let line = held.split_to(seen + end + 1);
                    seen = 0;
                    if line.trim_ascii().is_empty() {
                        continue;
                    }
                    let line = serde_json::from_slice(&line)
                        .map_err(|error| strange(&format!("a line of its answer: {error}")))?;
                    return Ok(Some((line, (pieces, held, seen))));
                }
                seen = held.len();
                if seen > LINE_BYTES_MAX {
                    return Err(strange("a line of its answer is too long"));
                }
                match pieces.next().await.transpose()? {
                    Some(piece) => held.extend_from_slice(&piece),
                    None if held.is_empty() => return Ok(None),
                    None => return Err(strange("its answer ended within a line")),
                }
            }
        })
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

    async fn delete_for<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Error> {
        let response = self.send(Method::DELETE, path, &[], None, Again::Unsent).await?;
        self.json(response).await
    }
}

fn told(kind: &str, message: String) -> Error {
    Error::Remote { kind: ErrorKind::parse(kind).unwrap_or(ErrorKind::Internal), message }
}
