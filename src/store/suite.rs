//! What any engine must do: one test per promise of the ports. An engine's tests say `conformance!(open)`, where
//! `open()` gives an empty store and whatever keeps it alive; `conformance!(open await)` when that takes waiting.

pub(crate) mod accounts;
pub(crate) mod configuration;
pub(crate) mod ledger;
pub(crate) mod members;
pub(crate) mod models;
pub(crate) mod objects;
pub(crate) mod reports;
pub(crate) mod routes;
pub(crate) mod samples;

/// Makes a test of every function of the suite.
macro_rules! conformance {
    ($open:ident $($await:ident)?) => {
        crate::store::suite::conformance!(@each ($open $($await)?) configuration,
            a_key_comes_back_as_it_was_stored,
            a_second_key_with_the_same_value_is_refused,
            many_keys_are_stored_together_or_not_at_all,
            an_update_replaces_all_but_value_and_creation,
            an_update_of_a_stale_revision_is_a_conflict,
            a_missing_key_is_not_found,
            a_deleted_value_may_be_used_again,
            keys_are_listed_by_creation_and_paged,
            key_filters_combine,
            key_names_are_found_literally_in_any_case,
            keys_are_found_by_the_provider_of_their_settings,
            a_setting_comes_back_as_it_was_stored,
            a_setting_update_follows_the_revision,
            settings_are_listed_oldest_first,
            a_custom_provider_comes_back_as_it_was_stored,
            custom_providers_have_names_of_their_own,
            a_custom_provider_update_follows_the_revision,
            the_feed_tells_each_row_once_in_order,
            the_feed_tells_deletions,
            refused_writes_are_not_in_the_feed,
            a_loader_sees_every_committed_write,
            a_long_feed_comes_in_pages,
            racing_updates_lose_nothing,
            the_store_answers_and_knows_its_schema,
        );
        crate::store::suite::conformance!(@each ($open $($await)?) members,
            a_membership_comes_back_as_it_was_stored,
            an_update_replaces_a_membership_but_not_its_grants,
            a_key_cannot_name_what_is_not_there,
            numbers_count_up_and_never_come_again,
            a_key_is_found_by_its_number_and_its_digest,
            a_replaced_secret_is_forgotten_by_everybody,
            an_old_secret_may_be_used_again,
            a_secret_is_replaced_under_the_rules_of_updates,
            racing_resets_leave_one_secret,
            members_are_filtered,
            members_are_found_by_text_taken_literally,
            keys_are_sorted_by_what_is_asked_for,
            deleting_a_key_takes_its_grants_and_account_but_not_its_history,
        );
        crate::store::suite::conformance!(@each ($open $($await)?) models,
            a_model_comes_back_as_it_was_stored,
            a_model_update_follows_the_revision,
            models_are_listed_by_id_and_filtered,
            a_group_comes_back_as_it_was_stored,
            a_group_update_follows_the_revision_and_keeps_grants,
            groups_are_listed_by_id_and_name,
            grants_are_toggled_bound_and_unbound,
            racing_grants_end_as_if_one_came_after_the_other,
            grants_are_listed_and_filtered,
            ids_of_models_groups_and_grants_never_come_again,
            a_deleted_model_is_granted_to_nobody,
            a_deleted_group_has_no_keys,
            a_loader_knows_who_is_granted_what,
            a_store_is_seeded_once,
            a_used_store_is_not_seeded,
            racing_starts_seed_once,
        );
        crate::store::suite::conformance!(@each ($open $($await)?) routes,
            a_route_comes_back_as_it_was_stored,
            texts_of_routes_are_taken_literally,
            routes_have_paths_of_their_own,
            a_route_update_follows_the_revision,
            racing_updates_of_a_route_lose_nothing,
            a_deleted_route_is_gone_and_its_path_free,
            the_feed_tells_routes_and_their_deletion,
            a_loader_serves_routes_at_once_and_until_they_are_deleted,
        );
        crate::store::suite::conformance!(@each ($open $($await)?) accounts,
            a_cost_is_taken_from_quota_then_balance,
            an_event_is_charged_once_however_often_it_is_written,
            racing_writers_charge_every_event_once,
            events_of_a_key_are_charged_in_order,
            what_has_no_rule_or_cost_charges_nothing,
            work_that_another_event_bears_is_not_charged,
            credits_add_up,
            books_are_of_those_that_spent_or_were_credited,
        );
        crate::store::suite::conformance!(@each ($open $($await)?) ledger,
            an_event_comes_back_as_it_was_stored,
            an_event_counts_once_however_often_it_is_written,
            a_rehearsal_says_how_many_and_leaves_nothing,
            a_batch_that_names_an_event_twice_counts_it_once,
            the_rollup_equals_the_events,
            racing_writers_count_every_event_once,
            event_filters_combine,
            event_times_are_inclusive_seconds,
            events_are_ordered_and_paged,
            event_texts_are_filtered_literally,
            spend_since_counts_from_the_moment_on,
            admissions_count_what_was_let_in,
            ids_of_users_and_callers_are_distinct_and_sorted,
            spend_outlives_the_key,
            old_events_are_deleted_oldest_first_and_their_cost_stays,
            huge_numbers_are_kept_or_saturate,
        );
        crate::store::suite::conformance!(@each ($open $($await)?) objects,
            an_object_belongs_to_the_first_that_made_it,
            work_is_charged_once,
        );
        crate::store::suite::conformance!(@each ($open $($await)?) reports,
            a_range_shorter_than_its_bucket_is_one_point,
            events_fall_into_their_bucket,
            groups_get_a_point_each_and_sum_to_the_events,
            percentiles_are_continuous_over_the_same_events,
            a_report_of_nothing_is_empty,
            report_filters_are_those_of_events,
            a_request_counts_once_however_many_tries_it_took,
            top_keys_are_spend_plus_new_keys,
            top_keys_follow_their_filters_order_and_page,
        );
    };
    (@each $open:tt $part:ident, $($promise:ident,)*) => {
        mod $part {
            #[allow(unused_imports, reason = "`$open` may be a full path")]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let (store, _alive) = crate::store::suite::conformance!(@open $open);
                    crate::store::suite::$part::$promise(store).await;
                }
            )*
        }
    };
    (@open ($open:ident)) => { $open() };
    (@open ($open:ident await)) => { $open().await };
}
pub(crate) use conformance;
