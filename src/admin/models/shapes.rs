//! How a model looks in the management API. Prices are per token here and per million tokens where they are saved.

use super::service::shown_config;
use crate::admin::management::shape::{Timestamp, Usd};
use crate::domain::{Model, Money};
use serde::Serialize;
use serde_json::{Map, Value};

const MILLION: i64 = 1_000_000;
/// Chat; the one kind there is.
const MODEL_TYPE: u8 = 1;

#[derive(Serialize)]
pub(super) struct ModelItem {
    id: i64,
    name: Box<str>,
    provider: Box<str>,
    multiple: u8,
    model_type: u8,
    price_in: Usd,
    price_out: Usd,
    /// Without its secrets.
    config: Map<String, Value>,
    created_at: Timestamp,
    updated_at: Timestamp,
    price_in_per_million: Usd,
    price_out_per_million: Usd,
}

impl From<Model> for ModelItem {
    fn from(model: Model) -> Self {
        let per_million = |price: Money| Usd(Money::from_units(price.units().saturating_mul(MILLION)));
        Self {
            id: model.id.0,
            config: shown_config(&model),
            multiple: model.multiple.into(),
            model_type: MODEL_TYPE,
            price_in: Usd(model.price_in),
            price_out: Usd(model.price_out),
            created_at: Timestamp(model.created_at),
            updated_at: Timestamp(model.updated_at),
            price_in_per_million: per_million(model.price_in),
            price_out_per_million: per_million(model.price_out),
            name: model.name,
            provider: model.provider,
        }
    }
}

/// A model as BRClient lists it.
#[derive(Serialize)]
pub(super) struct ClientModel {
    name: Box<str>,
    available: bool,
    #[serde(rename = "modelId")]
    model_id: Box<str>,
    multiple: bool,
    #[serde(rename = "displayName")]
    display_name: Box<str>,
    provider: ClientProvider,
}

/// One group of models in that client, whatever stands behind them.
#[derive(Serialize)]
struct ClientProvider {
    id: &'static str,
    name: &'static str,
    #[serde(rename = "providerName")]
    provider_name: &'static str,
}

impl From<&Model> for ClientModel {
    fn from(model: &Model) -> Self {
        Self {
            name: model.name.clone(),
            available: true,
            model_id: model.name.clone(),
            multiple: model.multiple,
            display_name: model.name.clone(),
            provider: ClientProvider { id: "aws", name: "AWS", provider_name: "BRConnector" },
        }
    }
}
