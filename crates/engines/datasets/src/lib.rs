//! Datasets: versioned, deduplicated trees of files with tags.
//!
//! [`Datasets`] is the engine on a bucket. [`Store`] is the face that push, pull and browsing use,
//! which a node's client has too. A version is a manifest (`cairn-tree`) whose pages and contents are
//! chunks (`cairn-blocks`); a tag is a ref that points to one.
//!
//! The bucket owns all state. When a push returns, its chunks, its manifest and the moved refs are
//! durable at the level of the bucket. A crash before leaves no trace but chunks that the next push
//! reuses or a collection removes.
//!
//! Invariants:
//!
//! - DATASETS-1 A root is announced in its ref before the publisher looks at the catalog, and becomes
//!   current in a swap that takes the announcement away.
//! - DATASETS-2 A version is published only when every chunk that its manifest reaches is stored.
//! - DATASETS-3 A pull changes nothing outside its destination, and a file there is either as it was
//!   or whole and verified.
//! - DATASETS-4 A file that changed while it was read is read again, and reported when it keeps
//!   changing.
//! - DATASETS-5 A follower sees the versions of a tag in their order and none twice, and misses one
//!   only when the tag's history does not hold it any more.
//! - DATASETS-6 What a hook is about is told until its receiver takes it, under an id that is the same
//!   each time.
//! - DATASETS-7 An edit is published in place of the very version that its changes were put into: of
//!   edits at once no file is lost.
//! - DATASETS-8 All that a hold names stays whole until the hold is taken away.

#![forbid(unsafe_code)]

mod browse;
mod content;
mod edits;
mod error;
mod follow;
mod hold;
mod hooks;
mod local;
mod maintain;
mod meter;
mod model;
mod owned;
mod page_file;
mod pages;
mod pins;
mod projects;
mod proof;
mod pull;
mod push;
mod refs;
mod stat;
mod stat_cache;
mod store;
mod uploads;
mod usage;
mod warm;

pub use browse::{Change, ChangeKind, Changed, Listed, Node};
pub use cairn_blocks::{CollectOptions, CollectReport, Secret, SessionStats, VerifyReport};
pub use content::ContentStream;
pub use edits::{
    EDIT_DEPTH_MAX, EDIT_FILES_MAX, EDIT_NAMES_BYTES_MAX, EDIT_OPEN_FILES_MAX, EDIT_PATH_BYTES_MAX,
    EDIT_WRITE_BYTES_MAX, EDITS_MAX, EditFile, EditId, EditPublication, EditStatus, Edits, Expect,
    FileWrite,
};
pub use error::Error;
pub use follow::{Follow, LOOK_EVERY, REMOVED, state_id};
pub use hold::Held;
pub use hooks::{
    Courier, HOOK_TAGS_BYTES_MAX, HOOK_URL_BYTES_MAX, HOOKS_MAX, HOOKS_PER_DATASET_MAX, Hook,
    HookRunner, Parcel,
};
pub use local::{Datasets, MESSAGE_BYTES_MAX};
pub use maintain::{Collected, Verified};
pub use meter::{Counter, Meter};
pub use model::{Dataset, Project, Publication, Rules, Summary, Tag, Target, Version};
pub use pages::{Browser, Entries};
pub use pins::{Condemned, Pin, PinId, PinWriter, Pinned};
pub use proof::Proof;
pub use pull::{PullOptions, Pulled, pull, pull_switch};
pub use push::{
    ArchiveFeed, ArchiveStream, FeedClosed, PushOptions, Pushed, Skipped, Source, archive_feed,
    push,
};
pub use refs::{HISTORY_MAX, TAG_AGE_MAX};
pub use stat::{Performance, stat};
pub use store::{Published, Store, UPLOAD_KEEP_EVERY, Upload};
pub use uploads::{
    CHUNKS_AT_ONCE_MAX, UPLOAD_IDLE_MAX, UPLOAD_TARGETS_MAX, UPLOADS_MAX, UploadId, Uploads,
};
pub use usage::ProjectUsage;
