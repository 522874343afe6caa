/* Whose a dead letter is, by how it ended. */
#include "jidoka/deadletter_class.h"

#include <criterion/criterion.h>

static void expect(enum signal_status status, const char *reason, enum breaker_opener opened_by,
                   enum deadletter_class class)
{
    enum deadletter_class got = deadletter_class_of(status, span_of(reason), opened_by);
    cr_expect_str_eq(deadletter_class_names[got], deadletter_class_names[class], "%s %s by %d: %s",
                     signal_status_names[status], reason, (int)opened_by, deadletter_class_names[got]);
}

Test(deadletter_class, every_reason)
{
    static const struct {
        const char *reason;
        enum deadletter_class class;
    } deadlettered[] = {{"id_conflict", CLASS_TENANT},         {"wait_expired", CLASS_TENANT},
                        {"deferral_limit", CLASS_DESTINATION}, {"overflow", CLASS_PIPELINE},
                        {"too_old", CLASS_PIPELINE},           {"unparseable", CLASS_PIPELINE},
                        {"corrupt", CLASS_PIPELINE},           {"poison", CLASS_POISON},
                        {"never heard of", CLASS_PIPELINE},    {"", CLASS_PIPELINE}};
    for (size_t i = 0; i < sizeof(deadlettered) / sizeof(deadlettered[0]); i++)
        for (int by = OPENED_BY_NOBODY; by <= OPENED_BY_OPERATOR; by++)
            expect(SIGNAL_DEADLETTERED, deadlettered[i].reason, (enum breaker_opener)by, deadlettered[i].class);
}

Test(deadletter_class, halts)
{
    expect(SIGNAL_DEADLETTERED, "governor_halted", OPENED_BY_BREAKER, CLASS_DESTINATION);
    expect(SIGNAL_DEADLETTERED, "governor_halted", OPENED_BY_OPERATOR, CLASS_POLICY);
    expect(SIGNAL_FAILED, "halted_in_action", OPENED_BY_OPERATOR, CLASS_POLICY);
}

/* An action's own reason may be any text, also one of ours. */
Test(deadletter_class, failed_actions)
{
    expect(SIGNAL_FAILED, "timeout", OPENED_BY_NOBODY, CLASS_DESTINATION);
    expect(SIGNAL_FAILED, "Connection refused", OPENED_BY_BREAKER, CLASS_DESTINATION);
    expect(SIGNAL_FAILED, "governor_halted", OPENED_BY_OPERATOR, CLASS_DESTINATION);
    expect(SIGNAL_FAILED, "poison", OPENED_BY_NOBODY, CLASS_POISON);
}
