//! People, programs and nodes: who they are, and how they show it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Make a user; the password is asked for, or read from --password-file
    #[command(after_help = "EXAMPLES\n  \
        cairn user add alice\n  \
        cairn user add bob --group staff --password-file bob.txt\n  \
        cairn grant add group:staff writer 'photos*'")]
    Add {
        /// The name
        name: String,
        /// A group to be in; repeat for more
        #[arg(long = "group", value_name = "NAME")]
        groups: Vec<String>,
        /// A file with the password on its first line; `-` is standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// List users and other principals
    Ls,
    /// Set a user's password, or your own when no name is given
    Password {
        /// Whose; your own when not given
        name: Option<String>,
        /// A file with the new password on its first line; `-` is standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// With no name: a file with the password as it is, instead of asking for it
        #[arg(long, value_name = "FILE", conflicts_with = "name")]
        current_password_file: Option<PathBuf>,
        /// Take the password away: the user can no longer log in with one
        #[arg(long, requires = "name", conflicts_with = "password_file")]
        remove: bool,
    },
    /// Set the groups that a user is in
    Groups {
        /// Whose
        name: String,
        /// All of them; none takes the user out of all groups
        groups: Vec<String>,
    },
    /// Remove a user with its tokens, certificates and grants
    Rm {
        /// Who
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cert {
    /// Let a client certificate stand for a principal; who signed it does not matter
    #[command(after_help = "EXAMPLES\n  \
        cairn cert add robot robot.crt\n  \
        cairn --client-cert robot.pem --url https://node:7400 ls")]
    Add {
        /// Whose it is; a principal of that name is made when there is none
        principal: String,
        /// The certificate, PEM
        file: PathBuf,
        /// What it is for
        #[arg(long, default_value = "certificate")]
        label: String,
    },
    /// List certificates
    Ls,
    /// Take a certificate back: it stops working everywhere within a second
    Rm {
        /// Its fingerprint, from `cert ls`
        fingerprint: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Idp {
    /// Add an OpenID Connect provider, or change the one of that name
    #[command(after_help = "EXAMPLES\n  \
        cairn idp add corp --issuer https://id.example.org --client-id cairn \\\n      \
        --client-secret-file secret.txt\n  \
        cairn grant add corp/alice@example.org reader 'photos*'\n  \
        cairn grant add group:corp/staff writer 'photos*'\n\n\
        At the provider, register the redirect address https://NODE/auth/callback for logins in a browser,\n\
        and allow the device flow for `cairn login`.")]
    Add(IdpAdd),
    /// List providers
    Ls,
    /// Remove a provider and end the sessions of its users
    Rm {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct IdpAdd {
    /// Its name here; its users are called NAME/…
    pub(crate) name: String,
    /// The issuer: an https:// address
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: String,
    /// What this cluster is called there
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: String,
    /// A file with the client's secret; none for a public client
    #[arg(long, value_name = "FILE")]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// A scope that a login asks for; repeat for more. openid, profile and email when not given
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// The claim that names a user. With `email` the provider must have verified the address
    #[arg(long, value_name = "CLAIM", default_value = "email")]
    pub(crate) user_claim: String,
    /// The claim that lists a user's groups
    #[arg(long, value_name = "CLAIM", default_value = "groups")]
    pub(crate) groups_claim: String,
    /// An audience of bearer tokens that is taken beside the client's id; repeat for more
    #[arg(long = "audience", value_name = "AUDIENCE")]
    pub(crate) audiences: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "EXAMPLES\n  \
    cairn login --url https://node:7400                 by the node's only identity provider\n  \
    cairn login --url https://node:7400 --idp corp      by this one\n  \
    cairn login --url https://node:7400 --user alice    with a password")]
pub(crate) struct Login {
    /// The identity provider; not needed when the node has only one
    #[arg(long, value_name = "NAME", conflicts_with = "user")]
    pub(crate) idp: Option<String>,
    /// Log in as this user with a password, which is asked for
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// A file with the password on its first line; `-` is standard input
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,
    /// The profile that keeps the session; `default` when no --profile is given
    #[arg(long, value_name = "NAME")]
    pub(crate) save_as: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// End all sessions of the same user, wherever they were opened
    #[arg(long)]
    pub(crate) everywhere: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Print the certificate of the cluster's authority (PEM), which clients trust with --ca-file
    Ca {
        /// Fetch it from a node that is not trusted yet, and take it only when this is its SHA-256, as
        /// `cairn up` prints it
        #[arg(long, value_name = "HEX")]
        sha256: Option<String>,
    },
    /// Make a token by which one node can join, once
    JoinToken {
        /// How long it can be used: 1h, 7d
        #[arg(long, value_name = "AGE", default_value = "1h")]
        expires: String,
    },
    /// Join with a token: make a key and get a certificate for it
    #[command(after_help = "EXAMPLES\n  \
        cairn cluster join --url https://node:7400 --join-token-file join.txt --out ./node")]
    Join {
        /// Where the key, the certificate and the authority's certificate are written
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// A file with the join token
        #[arg(long, value_name = "FILE")]
        join_token_file: PathBuf,
        /// What to call the node; the machine's name when not given
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// List the nodes that joined
    Nodes,
}
