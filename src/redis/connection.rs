//! A connection to one server, or those to all nodes of a cluster. Commands of many callers share it.

use futures_util::future::join_all;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, RedisError, RedisResult, ServerErrorKind, Value};
use std::time::Duration;

/// How often a command is sent after nodes that have handed its key on to another one.
const MOST_TRIES: u32 = 6;
/// Keys of a script that are being moved are together again soon.
const KEYS_MOVE: Duration = Duration::from_millis(10);

#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Without a time limit; sent again only if it was certainly not done.
    pub(super) async fn call(&self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::One(connection) => connection.clone().req_packed_command(command).await?.extract_error(),
            Self::Cluster(connection) => in_cluster(connection.clone(), command).await,
        }
    }

    /// Commands of which none needs another's answer, in one round trip: one server gets them in one piece, the nodes of
    /// a cluster at the same time. The answers are in the order of the commands.
    pub(super) async fn call_all(&self, commands: &[Cmd]) -> RedisResult<Vec<RedisResult<Value>>> {
        match self {
            Self::One(connection) => {
                let mut all = redis::pipe();
                for command in commands {
                    all.add_command(command.clone());
                }
                let answers = connection.clone().req_packed_commands(&all, 0, commands.len()).await?;
                Ok(answers.into_iter().map(Value::extract_error).collect())
            }
            Self::Cluster(connection) => {
                Ok(join_all(commands.iter().map(|command| in_cluster(connection.clone(), command))).await)
            }
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

/// The client's own second attempts are off: it makes them after a broken connection, too, when a script may have run.
async fn in_cluster(mut connection: ClusterConnection, command: &Cmd) -> RedisResult<Value> {
    let mut result = connection.req_packed_command(command).await.and_then(Value::extract_error);
    for tries in 1..MOST_TRIES {
        let Err(error) = &result else { break };
        result = match elsewhere(error) {
            Elsewhere::Moved(to) => connection.route_command(command.clone(), RoutingInfo::SingleNode(to)).await,
            Elsewhere::Asked(to) => asking(&mut connection, command, to).await,
            Elsewhere::Later => {
                tokio::time::sleep(KEYS_MOVE * tries).await;
                connection.req_packed_command(command).await
            }
            Elsewhere::No => break,
        }
        .and_then(Value::extract_error);
    }
    result
}

enum Elsewhere {
    Moved(SingleNodeRoutingInfo),
    /// The key is on its way to that node.
    Asked(SingleNodeRoutingInfo),
    Later,
    No,
}

fn elsewhere(error: &RedisError) -> Elsewhere {
    let to = error.redirect_node().and_then(|(address, _)| {
        let (host, port) = address.rsplit_once(':')?;
        Some(SingleNodeRoutingInfo::ByAddress { host: host.to_owned(), port: port.parse().ok()? })
    });
    match (error.kind(), to) {
        (redis::ErrorKind::Server(ServerErrorKind::Moved), Some(to)) => Elsewhere::Moved(to),
        (redis::ErrorKind::Server(ServerErrorKind::Ask), Some(to)) => Elsewhere::Asked(to),
        (redis::ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::TryAgain), _)
        // Of a node that is new here: the client has learned of it meanwhile.
        | (redis::ErrorKind::ClusterConnectionNotFound, _) => Elsewhere::Later,
        _ => Elsewhere::No,
    }
}

async fn asking(connection: &mut ClusterConnection, command: &Cmd, to: SingleNodeRoutingInfo) -> RedisResult<Value> {
    let mut both = redis::pipe();
    both.cmd("ASKING").add_command(command.clone());
    let answers = connection.route_pipeline(both, 0, 2, to).await?;
    Ok(answers.into_iter().next_back().unwrap_or(Value::Nil))
}
