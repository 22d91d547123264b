"""One example (or more) of every message, its bytes written out by hand from the protocol's documentation."""

from services.shared.pgwire import backend as b
from services.shared.pgwire import frontend as f
from services.shared.pgwire import startup as s
from services.shared.pgwire.authentication import AuthenticationOther
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.framing import UnknownMessage

FRONTEND: list[tuple[f.FrontendMessage, bytes]] = [
    (f.Query(b"SELECT 1"), b"Q\0\0\0\x0dSELECT 1\0"),
    (f.Query(b""), b"Q\0\0\0\5\0"),
    (f.Query(b"SELECT '\xe4'"), b"Q\0\0\0\x0fSELECT '\xe4'\0"),
    (f.Parse(b"s1", b"SELECT $1", (23, 0xFFFFFFFF)), b"P\0\0\0\x1bs1\0SELECT $1\0\0\2\0\0\0\x17\xff\xff\xff\xff"),
    (f.Parse(b"", b""), b"P\0\0\0\x08\0\0\0\0"),
    (
        f.Bind(b"p", b"s", (0, 1), (None, b"\0\1"), (1,)),
        b"B\0\0\0\x1ep\0s\0\0\2\0\0\0\1\0\2\xff\xff\xff\xff\0\0\0\2\0\1\0\1\0\1",
    ),
    (f.Bind(b"", b"", (1,), (b"", b"x"), ()), b"B\0\0\0\x17\0\0\0\1\0\1\0\2\0\0\0\0\0\0\0\1x\0\0"),
    (f.Bind(b"", b"", (), (), ()), b"B\0\0\0\x0c\0\0\0\0\0\0\0\0"),
    (f.Describe(f.Target.STATEMENT, b"s1"), b"D\0\0\0\x08Ss1\0"),
    (f.Describe(f.Target.PORTAL, b""), b"D\0\0\0\6P\0"),
    (f.Close(f.Target.STATEMENT, b""), b"C\0\0\0\6S\0"),
    (f.Close(f.Target.PORTAL, b"p"), b"C\0\0\0\7Pp\0"),
    (f.Execute(b"p", 100), b"E\0\0\0\x0ap\0\0\0\0d"),
    (f.Execute(b"", -1), b"E\0\0\0\x09\0\xff\xff\xff\xff"),
    (f.Flush(), b"H\0\0\0\4"),
    (f.Sync(), b"S\0\0\0\4"),
    (f.Terminate(), b"X\0\0\0\4"),
    (
        f.FunctionCall(1397, (1,), (b"\0\0\0\7",), 1),
        b"F\0\0\0\x18\0\0\x05\x75\0\1\0\1\0\1\0\0\0\4\0\0\0\7\0\1",
    ),
    (f.CopyData(b"1\tx\n"), b"d\0\0\0\x081\tx\n"),
    (f.CopyData(b""), b"d\0\0\0\4"),
    (f.CopyDone(), b"c\0\0\0\4"),
    (f.CopyFail("given up"), b"f\0\0\0\x0dgiven up\0"),
    (f.PasswordMessage(b"hunter2\0"), b"p\0\0\0\x0chunter2\0"),
    (UnknownMessage(ord("y"), b"??"), b"y\0\0\0\6??"),
]

BACKEND: list[tuple[b.BackendMessage, bytes]] = [
    (b.AuthenticationOk(), b"R\0\0\0\x08\0\0\0\0"),
    (b.AuthenticationCleartextPassword(), b"R\0\0\0\x08\0\0\0\3"),
    (b.AuthenticationMd5Password(b"salt"), b"R\0\0\0\x0c\0\0\0\5salt"),
    (
        b.AuthenticationSasl(("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")),
        b"R\0\0\0\x2a\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0",
    ),
    (b.AuthenticationSaslContinue(b"r=1,s=2"), b"R\0\0\0\x0f\0\0\0\x0br=1,s=2"),
    (b.AuthenticationSaslFinal(b"v=3"), b"R\0\0\0\x0b\0\0\0\x0cv=3"),
    (AuthenticationOther(7, b""), b"R\0\0\0\x08\0\0\0\7"),
    (AuthenticationOther(-1, b"token"), b"R\0\0\0\x0d\xff\xff\xff\xfftoken"),
    (b.BackendKeyData(4711, b"\x80\0\0\1"), b"K\0\0\0\x0c\0\0\x12\x67\x80\0\0\1"),
    (b.BackendKeyData(1, bytes(256)), b"K\0\0\1\x08\0\0\0\1" + bytes(256)),
    (b.ParameterStatus("TimeZone", "UTC"), b"S\0\0\0\x11TimeZone\0UTC\0"),
    (b.ReadyForQuery(TransactionStatus.IDLE), b"Z\0\0\0\5I"),
    (b.ReadyForQuery(TransactionStatus.IN_BLOCK), b"Z\0\0\0\5T"),
    (b.ReadyForQuery(TransactionStatus.FAILED), b"Z\0\0\0\5E"),
    (
        b.RowDescription((b.Column("id", 16384, 1, 23, 4, -1, 0), b.Column("?column?", 0, 0, 25, -1, -1, 1))),
        b"T\0\0\0\x36\0\2"
        b"id\0\0\0\x40\0\0\1\0\0\0\x17\0\4\xff\xff\xff\xff\0\0"
        b"?column?\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\1",
    ),
    (b.RowDescription(()), b"T\0\0\0\6\0\0"),
    (b.DataRow((b"1", None, b"")), b"D\0\0\0\x13\0\3\0\0\0\1" + b"1" + b"\xff\xff\xff\xff\0\0\0\0"),
    (b.DataRow(()), b"D\0\0\0\6\0\0"),
    (b.CommandComplete("SELECT 3"), b"C\0\0\0\x0dSELECT 3\0"),
    (b.EmptyQueryResponse(), b"I\0\0\0\4"),
    (b.NoData(), b"n\0\0\0\4"),
    (b.PortalSuspended(), b"s\0\0\0\4"),
    (b.ParseComplete(), b"1\0\0\0\4"),
    (b.BindComplete(), b"2\0\0\0\4"),
    (b.CloseComplete(), b"3\0\0\0\4"),
    (b.ParameterDescription((23, 25)), b"t\0\0\0\x0e\0\2\0\0\0\x17\0\0\0\x19"),
    (
        b.ErrorResponse((("S", "FEHLER"), ("V", "ERROR"), ("C", "42601"), ("M", "oh"))),
        b"E\0\0\0\x1fSFEHLER\0VERROR\0C42601\0Moh\0\0",
    ),
    (b.NoticeResponse((("S", "WARNING"), ("M", "\udce4"))), b"N\0\0\0\x11SWARNING\0M\xe4\0\0"),
    (b.ErrorResponse(()), b"E\0\0\0\5\0"),
    (b.NotificationResponse(4711, "news", "extra"), b"A\0\0\0\x13\0\0\x12\x67news\0extra\0"),
    (b.CopyInResponse(0, (0, 0)), b"G\0\0\0\x0b\0\0\2\0\0\0\0"),
    (b.CopyOutResponse(1, (1,)), b"H\0\0\0\x09\1\0\1\0\1"),
    (b.CopyBothResponse(0, ()), b"W\0\0\0\7\0\0\0"),
    (b.CopyData(b"w"), b"d\0\0\0\5w"),
    (b.CopyDone(), b"c\0\0\0\4"),
    (b.FunctionCallResponse(b"\0\0\0\7"), b"V\0\0\0\x0c\0\0\0\4\0\0\0\7"),
    (b.FunctionCallResponse(None), b"V\0\0\0\x08\xff\xff\xff\xff"),
    (
        b.NegotiateProtocolVersion(0x00030000, ("_pq_.tide",)),
        b"v\0\0\0\x16\0\3\0\0\0\0\0\1_pq_.tide\0",
    ),
    (UnknownMessage(0, b""), b"\0\0\0\0\4"),
]

STARTUP: list[tuple[s.StartupPacket, bytes]] = [
    (s.SSLRequest(), b"\0\0\0\x08\x04\xd2\x16\x2f"),
    (s.GSSENCRequest(), b"\0\0\0\x08\x04\xd2\x16\x30"),
    (s.CancelRequest(4711, b"\0\0\0\1"), b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\x12\x67\0\0\0\1"),
    (s.CancelRequest(-1, bytes(256)), b"\0\0\1\x0c\x04\xd2\x16\x2e\xff\xff\xff\xff" + bytes(256)),
    (
        s.StartupMessage(s.VERSION_3_0, (("user", "ada"), ("database", "post"), ("user", "bob"))),
        b"\0\0\0\x29\0\3\0\0user\0ada\0database\0post\0user\0bob\0\0",
    ),
    (s.StartupMessage(s.VERSION_3_2, ()), b"\0\0\0\x09\0\3\0\2\0"),
]
