//! Settings of Agones' door.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use std::net::SocketAddr;

/// Where clients of Agones' allocator ask for game servers.
#[derive(Clone, Debug, Args)]
pub struct AgonesArgs {
    /// Address at which clients of Agones' allocator ask for game servers, by gRPC and REST with client certificates; without it they
    /// cannot.
    #[arg(
        long,
        env = "CRANEWING_AGONES_LISTEN",
        requires = "agones_namespaces",
        help_heading = "Allocation by Agones' clients"
    )]
    pub agones_listen: Option<SocketAddr>,
    /// Namespaces in which they may ask, with commas between them; `*` is all.
    #[arg(
        long,
        env = "CRANEWING_AGONES_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE",
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "Allocation by Agones' clients"
    )]
    pub agones_namespaces: Vec<String>,
    /// Secret in the operator's namespace, each entry `*.crt` or `*.pem` of which has certificates: of authorities that issue those of
    /// clients, or of clients themselves.
    #[arg(
        long,
        env = "CRANEWING_AGONES_CLIENT_CA_SECRET",
        default_value = "allocator-client-ca",
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "Allocation by Agones' clients"
    )]
    pub agones_client_ca_secret: String,
    /// Secret of the type kubernetes.io/tls in the operator's namespace with the certificate that they are shown. Without it that is one of
    /// the authority of the report endpoint.
    #[arg(
        long,
        env = "CRANEWING_AGONES_TLS_SECRET",
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "Allocation by Agones' clients"
    )]
    pub agones_tls_secret: Option<String>,
}
