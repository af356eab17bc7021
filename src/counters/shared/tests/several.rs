//! Several gateways over one server.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_admits_exactly_its_limit_over_all_gateways() {
    let book = Arc::new(Book::default());
    let mut gateways = Vec::new();
    for instance in 1..=3 {
        gateways.push(Arc::new(gateway(shared_server(), &book, instance).await));
    }
    let key = new_key();
    let tasks: Vec<_> = (0..1_000)
        .map(|n| {
            let counters = gateways[n % 3].clone();
            tokio::spawn(async move { counters.admit(&ask(key, rate(100, Window::Minute), NOW, 0)).await.unwrap() })
        })
        .collect();
    let mut remaining = Vec::new();
    for task in tasks {
        if let Verdict::Admitted { rate: Some(state) } = task.await.unwrap() {
            remaining.push(state.remaining);
        }
    }
    remaining.sort_unstable();
    assert_eq!(remaining, (0..100).collect::<Vec<_>>(), "each admission saw its own place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_budget_is_never_exceeded_by_all_gateways_together() {
    let book = Arc::new(Book::default());
    let key = new_key();
    let mut tasks = Vec::new();
    for instance in 1..=3 {
        let counters = Arc::new(gateway(shared_server(), &book, instance).await);
        for lane in 0..6 {
            let counters = counters.clone();
            tasks.push(tokio::spawn(async move {
                let mut bill = 0;
                for n in 0..150 {
                    let hold = 1 + (n * 7 + lane) % 13;
                    let ask = ask(key, total(5_000, BudgetMode::Strict), NOW, hold);
                    if passes(&counters, &ask).await {
                        tokio::task::yield_now().await;
                        let cost = hold - hold % 3;
                        bill += cost;
                        counters.settle(end(&ask, cost, NOW));
                    }
                }
                bill
            }));
        }
    }
    let mut bill = 0;
    for task in tasks {
        bill += task.await.unwrap();
    }
    assert!((4_980..=5_000).contains(&bill), "{bill}");
    let other = gateway(shared_server(), &book, 9).await;
    eventually("all ends are told", || async { other.spent(key).await.unwrap() == usd(bill) }).await;
    let free = 5_000 - bill;
    assert!(!passes(&other, &ask(key, total(5_000, BudgetMode::Strict), NOW, free + 1)).await);
    assert!(free == 0 || passes(&other, &ask(key, total(5_000, BudgetMode::Strict), NOW, free)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_through_one_is_spent_through_the_other() {
    let book = Arc::new(Book::default());
    let (one, two) = (gateway(shared_server(), &book, 1).await, gateway(shared_server(), &book, 2).await);
    let key = new_key();
    let month = Window::Month.bounds(NOW).0;
    let rules = Rules { quota: Some(QuotaRule { quota: usd(10), month }), ..no_rules(BudgetMode::Strict) };
    let first = ask(key, rules, NOW, 10);
    assert!(passes(&one, &first).await && !passes(&two, &ask(key, rules, NOW, 1)).await);
    one.settle(end(&first, 10, NOW));
    eventually("it is told", || async { one.account(key).await.unwrap().month_fee == usd(10) }).await;
    assert!(!passes(&two, &ask(key, rules, NOW, 1)).await);
    // The event is still on its way to the ledger when the payment is made.
    book.credit(key, usd(5));
    two.credit(key, usd(5)).await;
    assert_eq!(two.account(key).await.unwrap(), Account { month, month_fee: usd(10), balance: usd(5) });
    book.drain(1, &end(&first, 10, NOW));
    two.credit(key, usd(0)).await;
    assert_eq!(one.account(key).await.unwrap(), Account { month, month_fee: usd(10), balance: usd(5) });
    assert!(passes(&one, &ask(key, rules, NOW, 5)).await && !passes(&one, &ask(key, rules, NOW, 1)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_spent_before_there_was_a_limit_counts() {
    let book = Arc::new(Book::default());
    let (one, two) = (gateway(shared_server(), &book, 1).await, gateway(shared_server(), &book, 2).await);
    let key = new_key();
    // No rule: nobody is asked.
    let free = ask(key, no_rules(BudgetMode::Strict), NOW, 0);
    assert!(passes(&one, &free).await);
    one.settle(end(&free, 70, NOW));
    assert!(passes(&two, &ask(key, rate(5, Window::Minute), NOW, 0)).await, "counts are made while that is on its way");
    book.drain(1, &end(&free, 70, NOW));
    eventually("the ledger was asked again", || async { two.spent(key).await.unwrap() == usd(70) }).await;
    assert!(!passes(&two, &ask(key, total(100, BudgetMode::Strict), NOW, 31)).await);
    assert!(passes(&two, &ask(key, total(100, BudgetMode::Strict), NOW, 30)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_imported_counts_once_whoever_hears_of_it() {
    let book = Arc::new(Book::default());
    let (one, two) = (gateway(shared_server(), &book, 1).await, gateway(shared_server(), &book, 2).await);
    let key = new_key();
    let window_budget = Some(SpendLimit { limit: usd(100), window: Window::Month });
    let rules = Rules { total_budget: Some(usd(100)), window_budget, ..no_rules(BudgetMode::Strict) };
    // One is in the ledger, one is not yet, one runs.
    for (counters, instance) in [(&one, Some(1)), (&two, None)] {
        let ask = ask(key, rules, NOW, 10);
        assert!(passes(counters, &ask).await);
        let settlement = end(&ask, 10, NOW);
        counters.settle(settlement);
        if let Some(instance) = instance {
            book.drain(instance, &settlement);
        }
        assert!(counters.flush(Duration::from_secs(5)).await);
    }
    assert!(passes(&one, &ask(key, rules, NOW, 5)).await);
    book.entries.lock().push(Entry { instance: InstanceId(-1), key, cost: usd(60), at: NOW });
    for counters in [&one, &two, &two, &one] {
        counters.restate(&[key]).await;
        assert!(!passes(counters, &ask(key, rules, NOW, 16)).await, "80 are spent and 5 are held");
    }
    assert_eq!(two.spent(key).await.unwrap(), usd(80));
    assert!(passes(&two, &ask(key, rules, NOW, 15)).await);
}
