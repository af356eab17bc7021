//! Who may use which model. A grant that was made by an import and revoked here stays revoked.

use super::groups::Groups;
use super::keys::Placed;
use super::models::Models;
use super::number;
use crate::domain::{Group, GroupId, KeyId, ModelId, UnixMillis};
use crate::import::record::{Read, Record};
use crate::import::report::Fate;
use crate::import::source::{Table, View};
use crate::import::writer::{Row, Writer};
use crate::store::{GrantAction, Grantee, StoreError};

const OF_GROUPS: &str = "models of groups";
const OF_KEYS: &str = "models of keys";

pub(super) async fn import_of_groups(
    view: &View<'_>,
    writer: &mut Writer,
    groups: &Groups,
    models: &Models,
) -> anyhow::Result<()> {
    writer.flush().await?;
    let side = Side { kind: OF_GROUPS, table: "eiai_group_model", column: "group_id", rows: Group::KIND };
    let grantee = |number| groups.get(&number).copied().map(Grantee::Group);
    import(view, writer, &side, grantee, models).await
}

pub(super) async fn import_of_keys(
    view: &View<'_>,
    writer: &mut Writer,
    keys: &Placed,
    models: &Models,
) -> anyhow::Result<()> {
    let side = Side { kind: OF_KEYS, table: "eiai_key_model", column: "key_id", rows: super::keys::KIND };
    let grantee = |number| keys.get(&number).copied().map(Grantee::Key);
    import(view, writer, &side, grantee, models).await
}

struct Side {
    kind: &'static str,
    table: &'static str,
    column: &'static str,
    /// The kind of the grantees.
    rows: &'static str,
}

async fn import(
    view: &View<'_>,
    writer: &mut Writer,
    side: &Side,
    grantee: impl Fn(i64) -> Option<Grantee>,
    models: &Models,
) -> anyhow::Result<()> {
    writer.report.mention(side.kind);
    // By grantee, so that each is looked at once.
    let order = if side.kind == OF_KEYS { "key_id, id" } else { "group_id, id" };
    let Some(rows) = view.rows(Table { name: side.table, id: "id", order }).await? else { return Ok(()) };
    let mut last: Option<Touched> = None;
    loop {
        let page = view.next(&rows).await?;
        if page.is_empty() {
            break;
        }
        for record in page {
            let (owner, model, at) = match read(&record, side) {
                Ok(read) => read,
                Err(why) => {
                    writer.report.broken(side.kind, &record.id, why);
                    continue;
                }
            };
            let (Some(to), Some(model)) = (grantee(owner), models.id(model)) else {
                writer.report.leave(side.kind, &record.id, Fate::LeftOut, "names what is not here");
                continue;
            };
            if last.as_ref().is_none_or(|touched| touched.number != owner) {
                finish(writer, side, last.take()).await?;
                last = Some(Touched::of(writer, side, owner, to).await?);
            }
            let Some(touched) = &mut last else { continue };
            one(writer, side, &record.id, touched, model, at).await?;
        }
    }
    Ok(finish(writer, side, last).await?)
}

fn read(record: &Record, side: &Side) -> Read<(i64, i64, UnixMillis)> {
    Ok((number(record, side.column)?, number(record, "model_id")?, record.timestamp("created_at")?))
}

async fn one(
    writer: &mut Writer,
    side: &Side,
    id: &str,
    touched: &mut Touched,
    model: ModelId,
    at: UnixMillis,
) -> Result<(), StoreError> {
    if touched.models.contains(&model) {
        writer.report.count(side.kind, Fate::Equal, 1);
        return writer.write_note(side.kind, id, "", 0).await;
    }
    let noted = writer.store.import_note(&writer.source, side.kind, id).await?.is_some();
    if noted && !writer.overwrite {
        writer.report.leave(side.kind, id, Fate::Different, "was revoked here since the last import");
        return Ok(());
    }
    writer.report.count(side.kind, Fate::New, 1);
    touched.models.push(model);
    if writer.dry {
        return Ok(());
    }
    match writer.store.grant(touched.grantee, model, GrantAction::Bind, at).await {
        Ok(_) => touched.changed = true,
        // Deleted by somebody else meanwhile.
        Err(StoreError::NotFound) => return Ok(()),
        Err(error) => return Err(error),
    }
    writer.write_note(side.kind, id, "", 0).await
}

/// A grantee, and how it was before grants were made.
struct Touched {
    /// In the source.
    number: i64,
    grantee: Grantee,
    models: Vec<ModelId>,
    /// Nobody else had written it since the import did.
    ours: bool,
    changed: bool,
}

/// The models and the revision of a grantee.
async fn state(writer: &Writer, grantee: Grantee) -> Result<Option<(Vec<ModelId>, i64)>, StoreError> {
    Ok(match grantee {
        Grantee::Key(id) => writer.store.key(id).await?.map(|key| (key.models().to_vec(), key.revision)),
        Grantee::Group(id) => writer.store.group(id).await?.map(|group| (group.models.to_vec(), group.revision)),
    })
}

impl Touched {
    async fn of(writer: &Writer, side: &Side, number: i64, grantee: Grantee) -> Result<Self, StoreError> {
        let note = writer.store.import_note(&writer.source, side.rows, &number.to_string()).await?;
        let (models, revision) = state(writer, grantee).await?.unwrap_or_default();
        let ours = note.is_some_and(|note| note.revision == revision);
        Ok(Self { number, grantee, models, ours, changed: false })
    }
}

/// A grant is a write of the grantee's row too, and it was the import's.
async fn finish(writer: &mut Writer, side: &Side, touched: Option<Touched>) -> Result<(), StoreError> {
    let Some(touched) = touched.filter(|touched| touched.changed && touched.ours) else { return Ok(()) };
    let Some((_, revision)) = state(writer, touched.grantee).await? else { return Ok(()) };
    let target = match touched.grantee {
        Grantee::Key(id) => KeyId::to_string(&id),
        Grantee::Group(id) => GroupId::to_string(&id),
    };
    writer.write_note(side.rows, &touched.number.to_string(), &target, revision).await
}
