//! What the database lets its user do.

use super::Result;
use tokio_postgres::Client;

/// Why the user may not make tables; names the right and who can give it. `user` and `schema` as SQL writes them.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum NoTables {
    #[error(
        "the user {user} lacks the right CREATE on schema {schema}: let its owner run \
         GRANT CREATE ON SCHEMA {schema} TO {user}"
    )]
    Right { user: String, schema: String },
    #[error(
        "no schema of the search_path is there for the user {user}: let an owner run GRANT USAGE, CREATE ON SCHEMA"
    )]
    Schema { user: String },
}

/// `None` when it may.
pub(super) async fn no_tables(client: &Client) -> Result<Option<NoTables>> {
    let sql = "SELECT quote_ident(current_user::text), quote_ident(current_schema()::text), \
               has_schema_privilege(current_schema()::text, 'CREATE')";
    let row = client.query_one(sql, &[]).await?;
    let user = row.try_get(0)?;
    Ok(match (row.try_get::<_, Option<String>>(1)?, row.try_get::<_, Option<bool>>(2)?) {
        (Some(_), Some(true)) => None,
        (Some(schema), _) => Some(NoTables::Right { user, schema }),
        (None, _) => Some(NoTables::Schema { user }),
    })
}
