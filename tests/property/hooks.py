"""Methods the HTTP parser has never heard of are answered 501 (RFC 9110, 15.6.2), the others 405."""
import schemathesis


@schemathesis.hook
def filter_case(_context, case):
    return case.method.upper() != "QUERY"
