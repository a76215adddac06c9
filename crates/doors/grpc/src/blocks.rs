//! BlockAPI: uploads of chunks, and downloads.

use cairn_datasets::{Store as _, UPLOADS_MAX, UploadId};
use futures::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::door::Api;
use crate::error::Error;
use crate::gate::Call;
use crate::names;
use crate::proto::block::v1::block_api_server::BlockApi;
use crate::proto::block::v1::{
    AbandonRequest, AbandonResponse, BeginRequest, BeginResponse, DownloadRequest,
    DownloadResponse, KeepRequest, KeepResponse, MissingRequest, MissingResponse, UploadRequest,
    UploadResponse,
};

#[tonic::async_trait]
impl BlockApi for Api {
    type DownloadStream = BoxStream<'static, Result<DownloadResponse, Status>>;

    async fn begin(
        &self,
        request: Request<BeginRequest>,
    ) -> Result<Response<BeginResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        Ok(Response::new(self.begin_upload(&call, &asked).await?))
    }

    async fn missing(
        &self,
        request: Request<MissingRequest>,
    ) -> Result<Response<MissingResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        Ok(Response::new(self.missing_of(&call, asked).await?))
    }

    async fn upload(
        &self,
        request: Request<Streaming<UploadRequest>>,
    ) -> Result<Response<UploadResponse>, Status> {
        let call = Call::of(&request)?;
        let added = Box::pin(self.upload_stream(call, request.into_inner())).await?;
        Ok(Response::new(added))
    }

    async fn keep(&self, request: Request<KeepRequest>) -> Result<Response<KeepResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        let (id, owner) = owned(&call, &asked.upload)?;
        let uploads = self.uploads.clone();
        let kept = call.to_its_end(async move { uploads.keep(id, &owner).await }).await?;
        kept.map_err(Error::from)?;
        Ok(Response::new(KeepResponse {}))
    }

    async fn abandon(
        &self,
        request: Request<AbandonRequest>,
    ) -> Result<Response<AbandonResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        let (id, owner) = owned(&call, &asked.upload)?;
        let uploads = self.uploads.clone();
        let ended = call.to_its_end(async move { uploads.abandon(id, &owner).await }).await?;
        ended.map_err(Error::from)?;
        Ok(Response::new(AbandonResponse {}))
    }

    async fn download(
        &self,
        request: Request<DownloadRequest>,
    ) -> Result<Response<Self::DownloadStream>, Status> {
        let (call, asked) = Call::admit(request)?;
        Ok(Response::new(self.download_what(call, asked).await?))
    }
}

/// An upload and its owner, whose it must be.
pub(crate) fn owned(call: &Call, upload: &str) -> Result<(UploadId, String), Error> {
    Ok((names::upload(upload)?, call.by()?))
}

impl Api {
    async fn begin_upload(
        &self,
        call: &Call,
        asked: &BeginRequest,
    ) -> Result<BeginResponse, Error> {
        let targets = names::targets(&asked.targets)?;
        let project = targets[0].dataset.project.clone();
        let (uploads, owner) = (self.uploads.clone(), call.by()?);
        let work = async move { uploads.begin(&targets, &owner).await };
        let id = match call.to_its_end(work).await? {
            Err(cairn_datasets::Error::TooMany { .. }) => {
                return Err(Error::Busy { what: "uploads", max: UPLOADS_MAX });
            }
            other => other?,
        };
        let project = self.datasets.project(&project).await?;
        Ok(BeginResponse {
            upload: id.to_string(),
            key: project.key.as_bytes().to_vec().into(),
            bucket_id: project.bucket_id,
        })
    }

    async fn missing_of(
        &self,
        call: &Call,
        asked: MissingRequest,
    ) -> Result<MissingResponse, Error> {
        let ids = names::chunks(&asked.ids)?;
        let (id, owner) = owned(call, &asked.upload)?;
        let uploads = self.uploads.clone();
        let work = async move { uploads.claim(id, &owner, &ids).await };
        let wanted = call.to_its_end(work).await??;
        let missing = asked.ids.into_iter().zip(wanted).filter(|(_, wanted)| *wanted);
        Ok(MissingResponse { ids: missing.map(|(id, _)| id).collect() })
    }
}
