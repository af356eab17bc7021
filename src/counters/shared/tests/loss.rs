//! The server goes away, comes back empty, or a gateway dies: afterwards counts are what the ledger says.

use super::*;

/// Admits and settles `count` requests of one unit each; the first half of the ends is in the ledger.
async fn spend(counters: &SharedCounters, book: &Book, instance: i32, key: KeyId, count: i64) {
    for n in 0..count {
        let ask = ask(key, total(1_000, BudgetMode::Strict), NOW, 1);
        assert!(passes(counters, &ask).await, "{n}");
        let end = end(&ask, 1, NOW);
        counters.settle(end);
        if n < count / 2 {
            book.drain(instance, &end);
        }
    }
}

/// How much can still be set aside.
async fn room(counters: &SharedCounters, key: KeyId, limit: i64) -> i64 {
    let (mut low, mut high) = (0, limit + 1);
    while high - low > 1 {
        let middle = (low + high) / 2;
        let ask = ask(key, total(limit, BudgetMode::Strict), NOW, middle);
        if passes(counters, &ask).await {
            low = middle;
            counters.release(&ask);
            eventually("it is released", || async { in_flight(counters, key).await == 0 }).await;
        } else {
            high = middle;
        }
    }
    low
}

async fn in_flight(counters: &SharedCounters, key: KeyId) -> i64 {
    let [_, holds] = script::places(counters.core.link.prefix(), key);
    match counters.core.link.command(redis::cmd("ZCARD").arg(holds)).await {
        Ok(redis::Value::Int(count)) => count,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_that_were_lost_come_back_from_the_ledger_and_from_those_who_live() {
    let (redis, book, key) = (Redis::start(), Arc::new(Book::default()), new_key());
    let (one, two) = (gateway(&redis, &book, 1).await, gateway(&redis, &book, 2).await);
    spend(&one, &book, 1, key, 40).await;
    spend(&two, &book, 2, key, 60).await;
    let running = ask(key, total(1_000, BudgetMode::Strict), NOW, 300);
    assert!(passes(&two, &running).await);
    let before = one.core.generation();
    redis.cli(&["FLUSHALL"]);
    for gateway in [&one, &two] {
        eventually("the loss is seen", || async { gateway.core.generation() != before }).await;
        gateway.core.trusted().await;
    }
    // 100 are spent, of which 50 are in the ledger; 300 are held by a request of the other one.
    let fits = ask(key, total(1_000, BudgetMode::Strict), NOW, 600);
    assert!(!passes(&one, &ask(key, total(1_000, BudgetMode::Strict), NOW, 601)).await);
    assert!(passes(&one, &fits).await);
    assert_eq!(one.spent(key).await.unwrap(), usd(100));
    two.settle(end(&running, 250, NOW));
    one.settle(end(&fits, 0, NOW));
    eventually("both are told", || async { one.spent(key).await.unwrap() == usd(350) }).await;
    assert_eq!(room(&two, key, 1_000).await, 650);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_let_in_while_the_server_was_away_is_told_when_it_is_back() {
    for keep in [true, false] {
        let (mut redis, book, key) = (Redis::start(), Arc::new(Book::default()), new_key());
        let (one, two) = (gateway(&redis, &book, 1).await, gateway(&redis, &book, 2).await);
        let rules = Rules { rate: rate(50, Window::Month).rate, ..total(1_000, BudgetMode::Strict) };
        let pass = async |counters: &SharedCounters, hold| {
            let ask = ask(key, rules, NOW, hold);
            passes(counters, &ask).await.then_some(ask)
        };
        let known = pass(&one, 10).await.unwrap();
        one.settle(end(&known, 10, NOW));
        assert!(pass(&two, 20).await.is_some());
        if keep {
            redis.freeze();
        } else {
            redis.kill();
        }
        eventually("the outage is seen", || async { pass(&one, 0).await.is_some() && one.core.generation().is_none() })
            .await;
        let long = pass(&one, 100).await.unwrap();
        let short = pass(&one, 30).await.unwrap();
        one.settle(end(&short, 25, NOW));
        assert!(pass(&one, 900).await.is_none(), "its own holds count");
        if keep {
            redis.thaw();
        } else {
            redis.restart();
        }
        one.core.trusted().await;
        two.core.trusted().await;
        // What each of them counted by itself is in the counts that both see.
        assert!(pass(&one, 0).await.is_some() && pass(&two, 0).await.is_some());
        eventually("all is told", || async { two.spent(key).await.unwrap() == usd(35) }).await;
        one.settle(end(&long, 90, NOW));
        eventually("all is told", || async { two.spent(key).await.unwrap() == usd(125) }).await;
        let admitted = 50
            - match two.admit(&ask(key, rules, NOW, 0)).await.unwrap() {
                Verdict::Admitted { rate: Some(state) } => state.remaining,
                other => panic!("{other:?}"),
            };
        let own = |counters: &SharedCounters| counters.core.own.whole(key, own::NEVER, Vec::new).rate.unwrap().2;
        assert_eq!(admitted, own(&one) + own(&two), "kept: {keep}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_server_a_gateway_decides_alone_or_refuses() {
    let (mut redis, book, key) = (Redis::start(), Arc::new(Book::default()), new_key());
    redis.kill();
    let alone = gateway_at(&redis, &book, 1, OnOutage::Local).await;
    let denying = gateway_at(&redis, &book, 2, OnOutage::Deny).await;
    for n in 0..5 {
        assert_eq!(passes(&alone, &ask(key, rate(3, Window::Minute), NOW, 0)).await, n < 3);
        assert!(denying.admit(&ask(key, rate(3, Window::Minute), NOW, 0)).await.is_err());
        assert!(passes(&denying, &ask(key, no_rules(BudgetMode::Strict), NOW, 0)).await, "nothing to count");
    }
    redis.restart();
    denying.core.trusted().await;
    eventually("what was let in is told", || async {
        alone.core.generation().is_some() && alone.core.own.behind(alone.core.generation().unwrap()).is_empty()
    })
    .await;
    assert!(!passes(&alone, &ask(key, rate(3, Window::Minute), NOW, 0)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_gateway_leaves_nothing_that_counts_twice_or_for_ever() {
    let (redis, book, key) = (Redis::start(), Arc::new(Book::default()), new_key());
    let other = gateway(&redis, &book, 2).await;
    let killed = gateway(&redis, &book, 1).await;
    spend(&killed, &book, 1, key, 10).await;
    let running: Vec<Ask> = (0..3).map(|_| ask(key, total(1_000, BudgetMode::Strict), NOW, 100)).collect();
    for ask in &running {
        assert!(passes(&killed, ask).await);
    }
    eventually("ends are told", || async { other.spent(key).await.unwrap() == usd(10) }).await;
    drop(killed);
    assert!(!passes(&other, &ask(key, total(1_000, BudgetMode::Strict), NOW, 691)).await, "its holds stand");
    // The next process books what the journal has: five ends, and the running ones at an estimate.
    for _ in 0..5 {
        book.drain(1, &end(&running[0], 1, NOW));
    }
    for ask in &running {
        book.drain(1, &end(ask, 7, NOW));
    }
    let next = gateway(&redis, &book, 1).await;
    next.recovered(&[key], NOW);
    eventually("it is counted", || async { other.spent(key).await.unwrap() == usd(31) }).await;
    assert_eq!(room(&other, key, 1_000).await, 969);
    spend(&next, &book, 1, key, 10).await;
    eventually("it goes on", || async { other.spent(key).await.unwrap() == usd(41) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_cannot_be_made_without_the_ledger() {
    let (redis, book, key) = (Redis::start(), Arc::new(Book::default()), new_key());
    let one = gateway(&redis, &book, 1).await;
    let denying = gateway_at(&redis, &book, 2, OnOutage::Deny).await;
    denying.core.trusted().await;
    book.away.store(true, Ordering::Relaxed);
    assert!(passes(&one, &ask(key, rate(1, Window::Minute), NOW, 0)).await);
    assert!(!passes(&one, &ask(key, rate(1, Window::Minute), NOW, 0)).await, "it counts by itself");
    assert!(denying.admit(&ask(key, rate(1, Window::Minute), NOW, 0)).await.is_err());
    book.away.store(false, Ordering::Relaxed);
    assert!(!passes(&one, &ask(key, rate(1, Window::Minute), NOW, 0)).await);
    assert!(denying.admit(&ask(key, rate(2, Window::Minute), NOW, 0)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_while_it_is_admitted_holds_nothing() {
    let (redis, book, key) = (Redis::start(), Arc::new(Book::default()), new_key());
    let one = gateway(&redis, &book, 1).await;
    let rules = total(100, BudgetMode::Strict);
    let known = ask(key, rules, NOW, 10);
    assert!(passes(&one, &known).await);
    for _ in 0..50 {
        let ask = ask(key, rules, NOW, 1);
        let _ = tokio::time::timeout(Duration::from_micros(50), one.admit(&ask)).await.map(|_| one.release(&ask));
    }
    eventually("what was taken is given back", || async { in_flight(&one, key).await == 1 }).await;
    assert_eq!(one.holds(), (1, usd(10)));
    one.settle(end(&known, 10, NOW));
    assert_eq!(room(&one, key, 100).await, 90);
}
