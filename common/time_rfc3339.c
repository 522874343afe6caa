/* RFC 3339 date-times to and from milliseconds since 1970, by arithmetic: no time zone database, no locale, any thread.
 * The proleptic Gregorian calendar of years 0000 to 9999. */
#include "common/clock.h"

static const int64_t day_ms = 86400000;

/* Days since 1970-01-01; the year is counted from March so that the leap day comes last. */
static int64_t days_of_date(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_of_days(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    *ret_day = (int)(day_of_year - (153 * shifted + 2) / 5 + 1);
    *ret_month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    *ret_year = (int)(year_of_era + era * 400 + (*ret_month <= 2));
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool take_digits(struct span *text, size_t count, int *ret)
{
    if (text->len < count)
        return false;
    int value = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_digit(text->ptr[i]))
            return false;
        value = value * 10 + (text->ptr[i] - '0');
    }
    text->ptr += count;
    text->len -= count;
    *ret = value;
    return true;
}

static bool take_char(struct span *text, char lower)
{
    if (text->len == 0 || (text->ptr[0] | (lower >= 'a' ? 0x20 : 0)) != lower)
        return false;
    text->ptr++;
    text->len--;
    return true;
}

static bool take_date(struct span *text, int64_t *ret_days)
{
    int year, month, day;
    if (!take_digits(text, 4, &year) || !take_char(text, '-') || !take_digits(text, 2, &month) ||
        !take_char(text, '-') || !take_digits(text, 2, &day))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return false;
    *ret_days = days_of_date(year, month, day);
    return true;
}

static bool take_fraction(struct span *text, int *ret_ms)
{
    *ret_ms = 0;
    if (!take_char(text, '.'))
        return true;
    int unit = 100;
    if (text->len == 0 || !is_digit(text->ptr[0]))
        return false;
    while (text->len && is_digit(text->ptr[0])) {
        *ret_ms += (text->ptr[0] - '0') * unit;
        unit /= 10;
        text->ptr++;
        text->len--;
    }
    return true;
}

static bool take_time(struct span *text, int64_t *ret_ms)
{
    int hour, minute, second, ms;
    if (!take_digits(text, 2, &hour) || !take_char(text, ':') || !take_digits(text, 2, &minute) ||
        !take_char(text, ':') || !take_digits(text, 2, &second) || !take_fraction(text, &ms))
        return false;
    if (hour > 23 || minute > 59 || second > 60)
        return false;
    *ret_ms = ((int64_t)hour * 3600 + minute * 60 + second) * 1000 + ms;
    return true;
}

static bool take_offset(struct span *text, int64_t *ret_ms)
{
    *ret_ms = 0;
    if (take_char(text, 'z'))
        return true;
    bool minus = take_char(text, '-');
    int hour, minute;
    if (!minus && !take_char(text, '+'))
        return false;
    if (!take_digits(text, 2, &hour) || !take_char(text, ':') || !take_digits(text, 2, &minute) || hour > 23 ||
        minute > 59)
        return false;
    *ret_ms = (int64_t)(hour * 60 + minute) * 60000 * (minus ? -1 : 1);
    return true;
}

bool time_parse_rfc3339(struct span text, int64_t *ret_ms)
{
    int64_t days, time, offset;
    if (!take_date(&text, &days) || !take_char(&text, 't') || !take_time(&text, &time) ||
        !take_offset(&text, &offset) || text.len)
        return false;
    *ret_ms = days * day_ms + time - offset;
    return true;
}

static char *put_digits(char *at, int value, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + count;
}

void time_format_rfc3339(int64_t wall_ms, char ret[TIME_RFC3339 + 1])
{
    static const int64_t first = -62167219200000, last = 253402300799999; /* the years four digits can write */
    wall_ms = wall_ms < first ? first : wall_ms > last ? last : wall_ms;
    int64_t days = wall_ms / day_ms, rest = wall_ms % day_ms;
    if (rest < 0) {
        days--;
        rest += day_ms;
    }
    int year, month, day, ms = (int)rest;
    date_of_days(days, &year, &month, &day);
    char *at = put_digits(ret, year, 4);
    *at++ = '-';
    at = put_digits(at, month, 2);
    *at++ = '-';
    at = put_digits(at, day, 2);
    *at++ = 'T';
    at = put_digits(at, ms / 3600000, 2);
    *at++ = ':';
    at = put_digits(at, ms / 60000 % 60, 2);
    *at++ = ':';
    at = put_digits(at, ms / 1000 % 60, 2);
    *at++ = '.';
    at = put_digits(at, ms % 1000, 3);
    *at++ = 'Z';
    *at = '\0';
}
