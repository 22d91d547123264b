"""How sessions begin in the cached database, as far as it decides what can be cached, and who is connected now."""

from services.cdc.control import ControlConnection
from services.shared.runtime.finding import Finding, Level

_PROXY = "tidegate-proxy"

_ISOLATION = """
    SELECT format('sessions of %s in %s', CASE WHEN s.setrole = 0 THEN 'everybody' ELSE 'role ' || r.rolname END,
                  CASE WHEN s.setdatabase = 0 THEN 'every database' ELSE 'this database' END),
           split_part(c, '=', 2)
    FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) c LEFT JOIN pg_roles r ON r.oid = s.setrole
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND c LIKE 'default_transaction_isolation=%'
    ORDER BY 1
"""
_PROXIES = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1
"""


async def isolation_finding(control: ControlConnection) -> Finding:
    """Judge how isolated transactions are by default: H49. `control` must not set that itself."""
    ((own,),) = await control.fetch("SELECT current_setting('default_transaction_isolation')")
    found = [("sessions of our role", own), *await control.fetch(_ISOLATION)]
    isolated = [f"{who} begin with {level}" for who, level in found if level != "read committed"]
    if not isolated:
        return Finding(Level.OK, "isolation", "Transactions are READ COMMITTED by default")
    text = f"Reads in their transaction blocks are not cached: {'; '.join(isolated)}"
    remedy = "reset default_transaction_isolation where the application does not rely on it"
    return Finding(Level.WARN, "isolation", text, remedy)


async def proxy_connections(control: ControlConnection) -> int:
    """Count the connections that proxies of whatever cache have to the database for themselves, with our role."""
    ((connections,),) = await control.fetch(_PROXIES, _PROXY)
    return int(connections)


async def proxies_finding(control: ControlConnection) -> Finding:
    """Say whether a proxy is connected."""
    connections = await proxy_connections(control)
    text = (
        f"Proxies are connected to this database ({connections} connections for themselves)"
        if connections
        else "No proxy is connected to this database with our role"
    )
    return Finding(Level.OK, "proxies", text)
