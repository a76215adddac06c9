//! What can be typed about tokens and grants, and what they come to.

use cairn_access::{Action, Role};
use clap::Subcommand;
use clap::builder::PossibleValuesParser;

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token; it is printed once
    #[command(after_help = "EXAMPLES\n  \
        cairn token create ci --only writer:@lab/raw --expires 30d\n\n\
        An admin of everything makes tokens for anybody; an admin of a project or of a narrower pattern\n\
        makes its own, no stronger than what it came with.")]
    Create {
        /// Whose it is; a principal of that name is made when there is none
        principal: String,
        /// What it is for
        #[arg(long, default_value = "token")]
        label: String,
        /// Limit it to a role on some datasets, as reader:photos*; repeat for more
        #[arg(long, value_name = "ROLE:PATTERN")]
        only: Vec<String>,
        /// After which time it stops working: 12h, 30d, 8w
        #[arg(long, value_name = "AGE")]
        expires: Option<String>,
    },
    /// List the tokens that you may revoke, not what they are
    Ls,
    /// Make one more token for `root`, for an owner who lost all of them; works on a bucket
    #[command(after_help = "EXAMPLES\n  \
        cairn --bucket file:///srv/cairn token recover   no token is asked for: who can write\n  \
        \u{20}                                               to the bucket owns it")]
    Recover,
    /// Revoke a token: it stops working everywhere within a second
    Rm {
        /// Its id, from `token ls`
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Grant {
    /// Give a role
    #[command(after_help = "EXAMPLES\n  \
        cairn grant add alice writer 'photos*'\n  \
        cairn grant add lea admin '@lab/*'          who gives roles on the project lab from then on\n  \
        cairn grant add anonymous reader public     everybody may read it\n\n\
        An admin of everything gives any role; an admin of a project or of a narrower pattern gives roles\n\
        within it, to whoever there is.")]
    Add {
        /// A principal, PROVIDER/NAME, group:NAME, group:PROVIDER/NAME, function/@PROJECT/NAME,
        /// `authenticated` or `anonymous`
        subject: String,
        /// What it may do there
        #[arg(value_parser = PossibleValuesParser::new(Role::ALL.map(Role::as_str)))]
        role: String,
        /// Datasets: NAME or @PROJECT/NAME, with `*` for any characters
        pattern: String,
    },
    /// List the grants that you may take back
    Ls,
    /// Take a role away
    Rm {
        /// Its id, from `grant ls`
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccessCommand {
    /// Say which grant decides, and what the others say
    #[command(after_help = "EXAMPLES\n  \
        cairn access explain alice read_dataset photos\n  \
        cairn access explain corp/alice@example.org write_dataset @lab/raw\n  \
        cairn access explain anonymous list_datasets '@main/*'\n  \
        cairn access explain lea manage_grants '@lab/raw*'")]
    Explain {
        /// A principal, PROVIDER/NAME, group:NAME, `authenticated` or `anonymous`
        principal: String,
        #[arg(help = actions())]
        action: String,
        /// NAME or @PROJECT/NAME, with `*` for any characters: all that it covers
        resource: String,
    },
}

/// What there is to be done.
fn actions() -> String {
    let all: Vec<_> = Action::all().map(Action::as_str).collect();
    format!("What would be done: {}", all.join(", "))
}
