//! What a gateway that has never been used offers: one group, and the models that it may use.

use crate::domain::{Group, GroupId, Model, ModelId, Money, Secret, UnixMillis};
use crate::providers::first_models::{FIRST, First};
use crate::store::FirstModels;

const GROUP: &str = "group 1";

/// The models that are there from the start, all granted to the group with id 1.
pub fn first_models(now: UnixMillis) -> FirstModels {
    let group = Group {
        id: GroupId(1),
        revision: 0,
        name: GROUP.into(),
        code: None,
        models: Box::default(),
        created_at: now,
        updated_at: now,
    };
    FirstModels { group, models: FIRST.iter().map(|first| model(first, now)).collect() }
}

fn model(first: &First, now: UnixMillis) -> Model {
    Model {
        id: ModelId(0),
        revision: 0,
        name: first.name.into(),
        provider: first.kind.into(),
        multiple: first.multiple,
        price_in: Money::from_units(first.price_in),
        price_out: Money::from_units(first.price_out),
        config: Secret::from(serde_json::json!({"modelId": first.model_id}).to_string()),
        created_at: now,
        updated_at: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn c05_the_model_of_the_readme_is_among_them() {
        let first = first_models(UnixMillis(0));
        let sonnet = first.models.iter().find(|model| &*model.name == "claude-3-sonnet").unwrap();
        assert_eq!(sonnet.config.expose(), r#"{"modelId":"anthropic.claude-3-sonnet-20240229-v1:0"}"#);
        assert_eq!(
            (sonnet.price_in.to_string(), sonnet.price_out.to_string()),
            ("0.0000030000".into(), "0.0000150000".into())
        );
        assert_eq!((&*first.group.name, first.group.id), ("group 1", GroupId(1)));
        let names: BTreeSet<_> = first.models.iter().map(|model| &model.name).collect();
        assert_eq!(names.len(), first.models.len());
        assert!(first.models.iter().all(|model| crate::providers::backend::names().contains(&&*model.provider)));
    }
}
