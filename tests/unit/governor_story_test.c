/* Whole stories as text, on virtual time: what operators read in receipts, line by line. */
#include "support/governor_story.h"

static void tale_is(struct governor_tale *tale, const char *want)
{
    cr_assert_str_eq(buf_cstr(&tale->trace), want, "%s", buf_cstr(&tale->trace));
    tale_done(tale);
}

static void active(struct governor_tale *tale)
{
    tale_init(tale);
    tale->fixture.env.auto_activate = true;
    tale->fixture.env.max_failures = 2;
    tale_create(tale);
    buf_clear(&tale->trace);
}

static void fail(struct governor_tale *tale, const char *id)
{
    tale_signal(tale, id, VERDICT_ACTION);
    tale_advance(tale, 1000);
    tale_step(tale, (struct governor_input){.kind = INPUT_FAILED, .reason = SPAN("timeout")});
}

Test(governor_story, boot_times_out_and_the_entitlement_comes_late)
{
    struct governor_tale tale;
    tale_init(&tale);
    tale_create(&tale);
    tale_signal(&tale, "a", VERDICT_ALLOW);
    tale_advance(&tale, 29999);
    tale_input(&tale, INPUT_BOOT_TIMEOUT);
    tale_advance(&tale, 1);
    tale_input(&tale, INPUT_BOOT_TIMEOUT);
    tale_signal(&tale, "a", VERDICT_ALLOW);
    tale_step(&tale, (struct governor_input){.kind = INPUT_SIGNAL, .critical = true, .signal_id = SPAN("b")});
    tale_input(&tale, INPUT_ACTIVATED);
    tale_signal(&tale, "c", VERDICT_ALLOW);
    tale_is(&tale, "+0.000 create: boot, state_change created "
                   "{'created_at':1795186560000,'entitlement':'inactive','failures':0,'halt_alert_at':0,'halt_alert_"
                   "count':0,'last_entitlement_event_at':0,'last_refund_event_at':0,'opened_by':null,'pending':null,'"
                   "period_start':0,'policy_state':null,'quota_limit':null,'quota_period':'none','quota_used':0,'"
                   "refund_open':false,'sku_id':'gold','state':'boot'}\n"
                   "+0.000 signal: boot, signal waits\n"
                   "+29.999 boot_timeout: boot\n"
                   "+30.000 boot_timeout: boot > degraded, state_change bootstrap_timeout {'state':'degraded'} "
                   "releases [bootstrap_timeout/warning*1]\n"
                   "+30.000 signal: degraded, signal refused, refusal degraded {}\n"
                   "+30.000 signal!: degraded, signal executed, action_success {'quota_used':1}\n"
                   "+30.000 activated: degraded > active, signal executed, state_change applied "
                   "{'entitlement':'active','last_entitlement_event_at':1795186590000,'state':'active'} releases\n"
                   "+30.000 signal: active, signal executed, action_success {'quota_used':2}\n");
}

Test(governor_story, breaker_opens_resets_and_probes)
{
    struct governor_tale tale;
    active(&tale);
    fail(&tale, "a");
    fail(&tale, "b");
    tale_signal(&tale, "c", VERDICT_ALLOW);
    tale_advance(&tale, 59000);
    tale_input(&tale, INPUT_BREAKER_RESET);
    tale_signal(&tale, "d", VERDICT_ALLOW);
    tale_advance(&tale, 1000);
    tale_input(&tale, INPUT_BREAKER_RESET);
    tale_signal(&tale, "e", VERDICT_DENY); /* the next one is the probe */
    fail(&tale, "f");
    tale_advance(&tale, 60000);
    tale_input(&tale, INPUT_BREAKER_RESET);
    tale_signal(&tale, "g", VERDICT_ACTION);
    tale_signal(&tale, "h", VERDICT_ALLOW);
    tale_advance(&tale, 500);
    tale_input(&tale, INPUT_SUCCEEDED);
    tale_signal(&tale, "h", VERDICT_ALLOW);
    fail(&tale, "i"); /* counts from one again */
    tale_is(&tale,
            "+0.000 signal: active > action_pending, signal acts, action_intent "
            "{'pending':{'action':'fix','action_id':'00000000-0000-5000-8000-000000000001','policy':'p','probe':false,'"
            "redrive':0,'signal_id':'a'},'quota_used':1,'state':'action_pending'}\n"
            "+1.000 failed: action_pending > active, a.0 failed timeout, action_failure timeout "
            "{'failures':1,'pending':null,'state':'active'} releases\n"
            "+1.000 signal: active > action_pending, signal acts, action_intent "
            "{'pending':{'action':'fix','action_id':'00000000-0000-5000-8000-000000000002','policy':'p','probe':false,'"
            "redrive':0,'signal_id':'b'},'quota_used':2,'state':'action_pending'}\n"
            "+2.000 failed: action_pending > halted, b.0 failed timeout, action_failure jidoka_halt "
            "{'failures':2,'opened_by':'breaker','pending':null,'state':'halted'} releases [circuit_open/critical*1]\n"
            "+2.000 signal: halted, signal deadlettered, deadletter governor_halted {'halt_alert_at':1795186562000} "
            "[system_halted/critical*1]\n"
            "+61.000 breaker_reset: halted\n"
            "+61.000 signal: halted, signal deadlettered, deadletter governor_halted {'halt_alert_count':1}\n"
            "+62.000 breaker_reset: halted > testing, state_change breaker_reset "
            "{'halt_alert_at':0,'halt_alert_count':0,'state':'testing'} releases\n"
            "+62.000 signal: testing, signal denied, refusal policy_denied:p:no {}\n"
            "+62.000 signal: testing > action_pending, signal acts, action_intent "
            "{'pending':{'action':'fix','action_id':'00000000-0000-5000-8000-000000000003','policy':'p','probe':true,'"
            "redrive':0,'signal_id':'f'},'quota_used':3,'state':'action_pending'}\n"
            "+63.000 failed: action_pending > halted, f.0 failed timeout, action_failure jidoka_halt "
            "{'failures':3,'pending':null,'state':'halted'} releases [circuit_open/critical*1]\n"
            "+123.000 breaker_reset: halted > testing, state_change breaker_reset {'state':'testing'} releases\n"
            "+123.000 signal: testing > action_pending, signal acts, action_intent "
            "{'pending':{'action':'fix','action_id':'00000000-0000-5000-8000-000000000004','policy':'p','probe':true,'"
            "redrive':0,'signal_id':'g'},'quota_used':4,'state':'action_pending'}\n"
            "+123.000 signal: action_pending, signal waits\n"
            "+123.500 succeeded: action_pending > active, g.0 executed, action_success "
            "{'failures':0,'opened_by':null,'pending':null,'state':'active'} releases\n"
            "+123.500 signal: active, signal executed, action_success {'quota_used':5}\n"
            "+123.500 signal: active > action_pending, signal acts, action_intent "
            "{'pending':{'action':'fix','action_id':'00000000-0000-5000-8000-000000000005','policy':'p','probe':false,'"
            "redrive':0,'signal_id':'i'},'quota_used':6,'state':'action_pending'}\n"
            "+124.500 failed: action_pending > active, i.0 failed timeout, action_failure timeout "
            "{'failures':1,'pending':null,'state':'active'} releases\n");
}

Test(governor_story, refund)
{
    struct governor_tale tale;
    active(&tale);
    tale_signal(&tale, "a", VERDICT_ACTION);
    tale_input(&tale, INPUT_REFUND_STARTED);
    tale_input(&tale, INPUT_SUCCEEDED);
    tale_signal(&tale, "b", VERDICT_ALLOW);
    tale_advance(&tale, 1000);
    tale_input(&tale, INPUT_CANCELLED);
    tale_step(&tale, (struct governor_input){.kind = INPUT_REFUND_COMPLETED, .event_time_ms = FIXTURE_WALL - 1});
    tale_input(&tale, INPUT_REFUND_COMPLETED);
    tale_input(&tale, INPUT_REFUND_COMPLETED);
    tale_step(&tale, (struct governor_input){.kind = INPUT_SIGNAL, .critical = true, .signal_id = SPAN("b")});
    tale_step(&tale, (struct governor_input){.kind = INPUT_ACTIVATED, .event_time_ms = FIXTURE_WALL});
    tale_input(&tale, INPUT_ACTIVATE);
    tale_is(
        &tale,
        "+0.000 signal: active > action_pending, signal acts, action_intent "
        "{'pending':{'action':'fix','action_id':'00000000-0000-5000-8000-000000000001','policy':'p','probe':false,'"
        "redrive':0,'signal_id':'a'},'quota_used':1,'state':'action_pending'}\n"
        "+0.000 refund_started: action_pending, signal executed, state_change recorded "
        "{'last_refund_event_at':1795186560000,'refund_open':true}\n"
        "+0.000 succeeded: action_pending > complying, a.0 executed, action_success "
        "{'pending':null,'state':'complying'}\n"
        "+0.000 signal: complying, signal waits\n"
        "+1.000 cancelled: complying, signal executed, state_change recorded "
        "{'entitlement':'cancelled','last_entitlement_event_at':1795186561000}\n"
        "+1.000 refund_completed: complying, signal executed, state_change ignored {}\n"
        "+1.000 refund_completed: complying > degraded, signal executed, state_change applied "
        "{'last_refund_event_at':1795186561000,'refund_open':false,'state':'degraded'} releases\n"
        "+1.000 refund_completed: degraded, signal executed, state_change ignored {}\n"
        "+1.000 signal!: degraded, signal refused, refusal entitlement_cancelled {}\n"
        "+1.000 activated: degraded, signal executed, state_change ignored {}\n"
        "+1.000 activate: degraded > active, operator applied {'entitlement':'active','state':'active'} releases\n");
}

Test(governor_story, quota_runs_out_and_rolls_over)
{
    struct governor_tale tale;
    tale_init(&tale);
    tale.fixture.env.auto_activate = true;
    tale.fixture.env.quota_limit = 2;
    tale.fixture.env.quota_period = PERIOD_HOUR;
    tale_create(&tale);
    tale_signal(&tale, "a", VERDICT_DENY);
    tale_signal(&tale, "b", VERDICT_ALLOW);
    tale_signal(&tale, "c", VERDICT_ACTION);
    tale_input(&tale, INPUT_SUCCEEDED);
    tale_signal(&tale, "d", VERDICT_ALLOW);
    tale_advance(&tale, 4 * 60000 - 1);
    tale_input(&tale, INPUT_QUOTA_RESET);
    tale_advance(&tale, 1);
    tale_input(&tale, INPUT_QUOTA_RESET);
    tale_signal(&tale, "d", VERDICT_ALLOW);
    tale_step(&tale,
              (struct governor_input){
                  .kind = INPUT_ACTIVATED, .event_time_ms = FIXTURE_WALL, .has_quota_limit = true, .quota_limit = 1});
    tale_input(&tale, INPUT_RESET_QUOTA);
    tale_is(&tale,
            "+0.000 create: boot > active, state_change created "
            "{'created_at':1795186560000,'entitlement':'active','failures':0,'halt_alert_at':0,'halt_alert_count':0,'"
            "last_entitlement_event_at':0,'last_refund_event_at':0,'opened_by':null,'pending':null,'period_start':"
            "1795183200000,'policy_state':null,'quota_limit':2,'quota_period':'hour','quota_used':0,'refund_open':"
            "false,'sku_id':'gold','state':'active'}\n"
            "+0.000 signal: active, signal denied, refusal policy_denied:p:no {}\n"
            "+0.000 signal: active, signal executed, action_success {'quota_used':1}\n"
            "+0.000 signal: active > action_pending, signal acts, action_intent "
            "{'pending':{'action':'fix','action_id':'00000000-0000-5000-8000-000000000001','policy':'p','probe':false,'"
            "redrive':0,'signal_id':'c'},'quota_used':2,'state':'action_pending'}\n"
            "+0.000 succeeded: action_pending > suspended, c.0 executed, action_success "
            "{'pending':null,'state':'suspended'} releases [quota_exceeded/warning*1]\n"
            "+0.000 signal: suspended, signal refused, refusal quota_exceeded {}\n"
            "+239.999 quota_reset: suspended\n"
            "+240.000 quota_reset: suspended > active, state_change quota_reset "
            "{'period_start':1795186800000,'quota_used':0,'state':'active'} releases\n"
            "+240.000 signal: active, signal executed, action_success {'quota_used':1}\n"
            "+240.000 activated: active > suspended, signal executed, state_change applied "
            "{'last_entitlement_event_at':1795186560000,'quota_limit':1,'state':'suspended'} releases "
            "[quota_exceeded/warning*1]\n"
            "+240.000 reset_quota: suspended > active, operator applied {'quota_used':0,'state':'active'} releases\n");
}

Test(governor_story, halt_while_acting_and_a_late_result)
{
    struct governor_tale tale;
    active(&tale);
    tale_signal(&tale, "a", VERDICT_ACTION);
    tale_step(&tale, (struct governor_input){.kind = INPUT_HALT, .reason = SPAN("stop it")});
    tale_input(&tale, INPUT_SUCCEEDED);
    tale_signal(&tale, "b", VERDICT_ALLOW);
    tale_signal(&tale, "c", VERDICT_ALLOW);
    tale_advance(&tale, 60000);
    tale_input(&tale, INPUT_BREAKER_RESET);
    tale_advance(&tale, FIXTURE_HOUR);
    tale_signal(&tale, "d", VERDICT_ALLOW);
    tale_input(&tale, INPUT_RESUME);
    tale_input(&tale, INPUT_RESUME);
    tale_is(&tale, "+0.000 signal: active > action_pending, signal acts, action_intent "
                   "{'pending':{'action':'fix','action_id':'00000000-0000-5000-8000-000000000001','policy':'p','probe':"
                   "false,'redrive':0,'signal_id':'a'},'quota_used':1,'state':'action_pending'}\n"
                   "+0.000 halt: action_pending > halted, a.0 failed halted_in_action, operator halted_in_action "
                   "{'opened_by':'operator','pending':null,'state':'halted'} cancels releases\n"
                   "+0.000 succeeded: halted, action_success late {}\n"
                   "+0.000 signal: halted, signal deadlettered, deadletter governor_halted "
                   "{'halt_alert_at':1795186560000} [system_halted/critical*1]\n"
                   "+0.000 signal: halted, signal deadlettered, deadletter governor_halted {'halt_alert_count':1}\n"
                   "+60.000 breaker_reset: halted\n"
                   "+3660.000 signal: halted, signal deadlettered, deadletter governor_halted "
                   "{'halt_alert_at':1795190220000,'halt_alert_count':0} [system_halted/critical*2]\n"
                   "+3660.000 resume: halted > active, operator applied "
                   "{'halt_alert_at':0,'opened_by':null,'state':'active'} releases\n"
                   "+3660.000 resume: active, operator ignored {}\n");
}
