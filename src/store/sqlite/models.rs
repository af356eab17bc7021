//! Models, groups and grants. In the making.

use super::{Result, SqliteStore, StoreError};
use crate::domain::{Group, GroupId, Model, ModelId, UnixMillis};
use crate::store::{
    FirstModels, Grant, GrantAction, GrantFilter, Granted, Grantee, ModelFilter, ModelStore, Page, Paging,
};
use async_trait::async_trait;

#[async_trait]
impl ModelStore for SqliteStore {
    async fn seed_models(&self, _first: &FirstModels) -> Result<bool> {
        Err(StoreError::NotFound)
    }
    async fn insert_model(&self, _model: &Model) -> Result<ModelId> {
        Err(StoreError::NotFound)
    }
    async fn update_model(&self, _model: &Model) -> Result<()> {
        Err(StoreError::NotFound)
    }
    async fn delete_model(&self, _id: ModelId) -> Result<()> {
        Err(StoreError::NotFound)
    }
    async fn model(&self, _id: ModelId) -> Result<Option<Model>> {
        Err(StoreError::NotFound)
    }
    async fn model_named(&self, _name: &str) -> Result<Option<Model>> {
        Err(StoreError::NotFound)
    }
    async fn list_models(&self, _filter: &ModelFilter) -> Result<Page<Model>> {
        Err(StoreError::NotFound)
    }
    async fn insert_group(&self, _group: &Group) -> Result<GroupId> {
        Err(StoreError::NotFound)
    }
    async fn update_group(&self, _group: &Group) -> Result<()> {
        Err(StoreError::NotFound)
    }
    async fn delete_group(&self, _id: GroupId) -> Result<()> {
        Err(StoreError::NotFound)
    }
    async fn group(&self, _id: GroupId) -> Result<Option<Group>> {
        Err(StoreError::NotFound)
    }
    async fn list_groups(&self, _name: Option<&str>, _paging: Paging) -> Result<Page<Group>> {
        Err(StoreError::NotFound)
    }
    async fn grant(
        &self,
        _grantee: Grantee,
        _model: ModelId,
        _action: GrantAction,
        _at: UnixMillis,
    ) -> Result<Granted> {
        Err(StoreError::NotFound)
    }
    async fn list_grants(&self, _filter: &GrantFilter) -> Result<Page<Grant>> {
        Err(StoreError::NotFound)
    }
}
