//! Groups. Their names need not differ in the source, here they have to.

use super::{number, remark_number, table};
use crate::domain::{Group, GroupId};
use crate::import::record::{Read, Record, fault};
use crate::import::source::View;
use crate::import::writer::{Row, Writer};
use crate::store::{ImportStore, Numbered, Paging, StoreError};
use std::collections::{HashMap, HashSet};

/// By the number in the source. Memory: one entry per group.
pub(super) type Groups = HashMap<i64, GroupId>;

impl Row for Group {
    const KIND: &'static str = "groups";

    fn target(&self) -> String {
        self.id.to_string()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn same(&self, here: &Self) -> bool {
        (&self.name, &self.code) == (&here.name, &here.code)
    }
    async fn find(&self, store: &dyn ImportStore, became: Option<&str>) -> Result<Option<Self>, StoreError> {
        if let Some(id) = became.and_then(|id| id.parse().ok()) {
            return store.group(GroupId(id)).await;
        }
        let alike = store.list_groups(Some(&self.name), Paging::default()).await?;
        Ok(alike.rows.into_iter().find(|group| group.name == self.name))
    }
    async fn insert(&self, store: &dyn ImportStore) -> Result<String, StoreError> {
        store.number_from(Numbered::Group, self.id.0).await?;
        Ok(store.insert_group(self).await?.to_string())
    }
    async fn update(&self, store: &dyn ImportStore, here: &Self) -> Result<(), StoreError> {
        let (id, revision) = (here.id, here.revision);
        store.update_group(&Self { id, revision, ..self.clone() }).await
    }
}

pub(super) async fn import(view: &View<'_>, writer: &mut Writer) -> anyhow::Result<Groups> {
    let mut groups = Groups::new();
    let mut names = HashSet::new();
    writer.report.mention(Group::KIND);
    let Some(rows) = view.rows(table("eiai_group")).await? else { return Ok(groups) };
    loop {
        let page = view.next(&rows).await?;
        if page.is_empty() {
            return Ok(groups);
        }
        for record in page {
            let mut wanted = match read(&record) {
                Ok(wanted) => wanted,
                Err(why) => {
                    writer.report.broken(Group::KIND, &record.id, why);
                    continue;
                }
            };
            if !names.insert(wanted.name.clone()) {
                wanted.name = format!("{} ({})", wanted.name, wanted.id).into();
                names.insert(wanted.name.clone());
                writer.report.remark(Group::KIND, &record.id, "has the name of another group, and its number is added");
            }
            if let Some(placed) = writer.put(&record.id, &wanted).await? {
                remark_number(writer, &record.id, wanted.id.0, &placed, placed.row.id.0);
                groups.insert(wanted.id.0, placed.row.id);
            }
        }
    }
}

fn read(record: &Record) -> Read<Group> {
    let name = record.text("name")?;
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(fault("name", "is empty or contains control characters"));
    }
    Ok(Group {
        id: GroupId(number(record, "id")?),
        revision: 0,
        name,
        code: record.text_or_null("key")?,
        models: Box::default(),
        created_at: record.timestamp("created_at")?,
        updated_at: record.timestamp("updated_at")?,
    })
}
