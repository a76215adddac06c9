//! What can be typed about webhooks.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Hook {
    /// Make a webhook of a dataset; the secret that its requests are signed with is printed once
    #[command(after_help = "EXAMPLES\n  \
        cairn hook add photos https://example.org/cairn\n  \
        cairn hook add photos https://example.org/cairn --tags 'release-*'\n\n\
        Each move of a tag is sent until the receiver answers 2xx, at least once and in order; retries\n\
        have the same `webhook-id`. The signature is that of Standard Webhooks: give the secret to\n\
        any of its libraries.")]
    Add {
        /// The dataset
        #[arg(value_name = "NAME")]
        dataset: String,
        /// Where requests go: https:// or http://
        #[arg(value_name = "URL")]
        address: String,
        /// Which tags it is about, with `*` for any characters
        #[arg(long, value_name = "PATTERN", default_value = "*")]
        tags: String,
    },
    /// List the webhooks of a dataset, and how their deliveries go
    Ls {
        /// The dataset
        #[arg(value_name = "NAME")]
        dataset: String,
    },
    /// Remove a webhook
    Rm {
        /// The dataset
        #[arg(value_name = "NAME")]
        dataset: String,
        /// Its id, from `hook ls`
        id: String,
    },
    /// Send a webhook an event of the type `test`, once and now
    Test {
        /// The dataset
        #[arg(value_name = "NAME")]
        dataset: String,
        /// Its id, from `hook ls`
        id: String,
    },
}
