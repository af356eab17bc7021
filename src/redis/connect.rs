//! Finds the server among the nodes: asks each what it is.

use super::connection::Connection;
use super::members::Members;
use super::settings::{LinkSettings, Node, TlsSettings};
use redis::cluster::ClusterClientBuilder;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo,
    RedisResult, TlsCertificates,
};
use std::sync::Arc;
use tokio::time::timeout;

/// Scripts may write after they have asked for the time since version 5; users since 6.
const OLDEST: u32 = 6;

/// A server that is connected, and what it says of itself.
pub(super) struct Server {
    pub(super) connection: Connection,
    pub(super) about: About,
}

/// Of the node that was asked. Empty where the user may not know it.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    pub(super) version: String,
    pub(super) policy: String,
    cluster: bool,
    replica: bool,
}

impl About {
    /// What the operator should change.
    pub(super) fn advice(&self) -> Option<String> {
        let policy = Some(&*self.policy).filter(|policy| !["", "noeviction"].contains(policy))?;
        Some(format!(
            "maxmemory-policy is {policy}: when its memory is full Redis removes counts, and limits are counted anew; \
             set it to noeviction"
        ))
    }
}

/// Tries nodes in order; the error is what each of them said.
pub(super) async fn connect(settings: &LinkSettings, learned: &mut Vec<Node>) -> Result<Server, Arc<str>> {
    let certificates = certificates(settings).await?;
    let mut nodes = settings.nodes.clone();
    nodes.extend(learned.iter().filter(|node| !settings.nodes.contains(node)).cloned());
    let mut why = Vec::new();
    for node in &nodes {
        match enter(settings, node, certificates.as_ref()).await {
            Ok((connection, about)) if about.cluster => {
                if settings.database != 0 {
                    return Err("a cluster has no database but 0".into());
                }
                let members = Members::ask(&connection, settings.timeout, node).await;
                if let Some(gaps) = members.gaps() {
                    return Err(format!("{node}: no node of the cluster has {gaps}").into());
                }
                *learned = members.nodes;
                let mut seeds = learned.clone();
                seeds.push(node.clone());
                let connection = enter_cluster(settings, &seeds, certificates.as_ref()).await?;
                return Ok(Server { connection, about });
            }
            Ok((_, about)) if about.replica => why.push(format!("{node} is a replica, which takes no writes")),
            Ok((connection, about)) => return Ok(Server { connection, about }),
            Err(error) => why.push(format!("{node}: {error}")),
        }
    }
    Err(why.join("; ").into())
}

async fn certificates(settings: &LinkSettings) -> Result<Option<TlsCertificates>, Arc<str>> {
    let Some(TlsSettings { ca: Some(path) }) = &settings.tls else { return Ok(None) };
    let root_cert = tokio::fs::read(path).await.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) }))
}

async fn enter(
    settings: &LinkSettings,
    node: &Node,
    certificates: Option<&TlsCertificates>,
) -> Result<(Connection, About), Arc<str>> {
    let info = info(settings, node).map_err(told)?;
    let client = match certificates {
        Some(certificates) => Client::build_with_tls(info, certificates.clone()),
        None => Client::open(info),
    };
    let client = client.map_err(told)?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(settings.connect_timeout))
        // Calls have a limit of their own.
        .set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&config).await.map_err(told)?;
    let connection = Connection::One(connection);
    let about = match timeout(settings.connect_timeout, ask(&connection)).await {
        Ok(about) => about.map_err(told)?,
        Err(_) => return Err("it accepts connections and does not answer".into()),
    };
    match about.version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major < OLDEST => {
            Err(format!("version {} is too old, {OLDEST} is needed", about.version).into())
        }
        _ => Ok((connection, about)),
    }
}

async fn enter_cluster(
    settings: &LinkSettings,
    seeds: &[Node],
    certificates: Option<&TlsCertificates>,
) -> Result<Connection, Arc<str>> {
    let seeds = seeds.iter().map(|node| info(settings, node)).collect::<RedisResult<Vec<_>>>().map_err(told)?;
    let mut builder = ClusterClientBuilder::new(seeds)
        .retries(0)
        .tcp_settings(TcpSettings::default().set_nodelay(true))
        .connection_timeout(settings.connect_timeout)
        .response_timeout(settings.timeout)
        .overall_response_timeout(None);
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates.clone());
    }
    let client = builder.build().map_err(told)?;
    // It asks a node for the others, then connects to them.
    match timeout(settings.connect_timeout * 2, client.get_async_connection()).await {
        Ok(connection) => Ok(Connection::Cluster(connection.map_err(told)?)),
        Err(_) => Err("the nodes of the cluster do not answer".into()),
    }
}

fn info(settings: &LinkSettings, node: &Node) -> RedisResult<ConnectionInfo> {
    let (host, port) = (node.host.to_string(), node.port);
    let address = match settings.tls {
        Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        None => ConnectionAddr::Tcp(host, port),
    };
    let mut identity = RedisConnectionInfo::default().set_db(settings.database).set_skip_set_lib_name();
    if let Some(user) = &settings.user {
        identity = identity.set_username(user);
    }
    if let Some(password) = &settings.password {
        identity = identity.set_password(password.expose());
    }
    let info = address.into_connection_info()?;
    Ok(info.set_redis_settings(identity).set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

async fn ask(connection: &Connection) -> RedisResult<About> {
    let answer = match connection.call(&redis::cmd("INFO")).await {
        // A user of few rights may still see whether there is a cluster.
        Err(error) if error.code() == Some("NOPERM") => {
            let mut command = redis::cmd("CLUSTER");
            let cluster = connection.call(command.arg("INFO")).await.is_ok();
            return Ok(About { cluster, ..About::default() });
        }
        answer => answer?,
    };
    let text: String = redis::from_redis_value(answer)?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("");
    Ok(About {
        version: field("redis_version").to_owned(),
        policy: field("maxmemory_policy").to_owned(),
        cluster: field("cluster_enabled") == "1",
        replica: field("role") == "slave",
    })
}

fn told(error: redis::RedisError) -> Arc<str> {
    match super::LinkError::from(error) {
        super::LinkError::Down { why } | super::LinkError::Lost { why } | super::LinkError::Refused { why } => why,
    }
}
