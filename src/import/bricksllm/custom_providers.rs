//! Custom providers: locations and targets have to be ones that requests can use.

use super::table;
use crate::domain::{CustomProvider, CustomProviderId, CustomRoute};
use crate::import::record::{Read, Record, fault};
use crate::import::source::View;
use crate::import::writer::{Row, Writer};
use crate::providers::custom::{Location, Target, is_reserved};
use crate::store::{ImportStore, StoreError};

impl Row for CustomProvider {
    const KIND: &'static str = "custom providers";

    fn target(&self) -> String {
        self.id.to_string()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn same(&self, here: &Self) -> bool {
        (&self.name, &self.routes, &self.authentication_param) == (&here.name, &here.routes, &here.authentication_param)
    }
    async fn find(&self, store: &dyn ImportStore, _: Option<&str>) -> Result<Option<Self>, StoreError> {
        match store.custom_provider(self.id).await? {
            None => store.custom_provider_named(&self.name).await,
            found => Ok(found),
        }
    }
    async fn insert(&self, store: &dyn ImportStore) -> Result<String, StoreError> {
        store.insert_custom_provider(self).await?;
        Ok(self.target())
    }
    async fn update(&self, store: &dyn ImportStore, here: &Self) -> Result<(), StoreError> {
        let (id, revision) = (here.id, here.revision);
        store.update_custom_provider(&Self { id, revision, ..self.clone() }).await
    }
}

/// Those that are here afterwards, or would be.
pub(super) async fn import(view: &View<'_>, writer: &mut Writer) -> anyhow::Result<Vec<CustomProvider>> {
    let mut placed = Vec::new();
    writer.report.mention(CustomProvider::KIND);
    let Some(rows) = view.rows(table("custom_providers")).await? else { return Ok(placed) };
    loop {
        let page = view.next(&rows).await?;
        if page.is_empty() {
            return Ok(placed);
        }
        for record in page {
            match read(&record) {
                Ok(wanted) => placed.extend(writer.put(&record.id, &wanted).await?.map(|placed| placed.row)),
                Err(why) => writer.report.broken(CustomProvider::KIND, &record.id, why),
            }
        }
    }
}

fn read(record: &Record) -> Read<CustomProvider> {
    let id = record.uuid("id")?.ok_or_else(|| fault("id", "is empty"))?;
    let name = record.text("provider")?.to_lowercase();
    let fits = |b: u8| b.is_ascii_graphic() && !b"/?#%\\\"".contains(&b);
    if name.is_empty() || matches!(name.as_str(), "." | "..") || !name.bytes().all(fits) {
        return Err(fault("provider", "is no name that can stand in a URL"));
    }
    if is_reserved(&name) {
        return Err(fault("provider", "is the name of a built-in provider"));
    }
    let routes: Vec<CustomRoute> = record.json_as("route_configs")?;
    for route in &routes {
        check(route)?;
    }
    Ok(CustomProvider {
        id: CustomProviderId::from_uuid(id),
        revision: 0,
        name: name.into(),
        created_at: record.seconds("created_at")?,
        updated_at: record.seconds("updated_at")?,
        routes,
        authentication_param: record.text("authentication_param")?.to_lowercase().into(),
    })
}

fn check(route: &CustomRoute) -> Read<()> {
    let wrong = |why: &str| Err(fault("route_configs", format!("has a route with {why}")));
    if !route.path.starts_with('/') {
        return wrong("a path that does not begin with /");
    }
    if Target::parse(&route.target_url).is_none() {
        return wrong("a target_url that is no absolute http or https URL");
    }
    let needed = [&route.model_location, &route.request_prompt_location, &route.response_completion_location];
    let streams = [&route.stream_location, &route.stream_response_completion_location];
    let given = streams.into_iter().filter(|location| !location.is_empty());
    if needed.into_iter().chain(given).any(|location| Location::parse(location).is_err()) {
        return wrong("a location that cannot be understood");
    }
    Ok(())
}
