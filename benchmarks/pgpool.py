"""pgpool-II with its query cache in shared memory, as a peer that evicts by tables."""

import signal

import psycopg

from services.shared.runtime.upstream import Upstream
from tests.servers.debian import debian_program
from tests.servers.processes import ManagedProcess, ServerDirectory, free_port, unprivileged_account, wait_until

# What concerns the cache is its manual's: all in shared memory, evicted by writes and never by time, four times the
# default memory so that nothing is displaced. What asks the catalog about each table only costs time, and is off.
_CONFIGURATION = """
backend_clustering_mode = '{clustering}'
backend_hostname0 = '{upstream.host}'
backend_port0 = {upstream.port}
backend_weight0 = 1
backend_flag0 = 'ALWAYS_PRIMARY'
listen_addresses = '127.0.0.1'
port = {port}
pcp_listen_addresses = '127.0.0.1'
pcp_port = {pcp_port}
socket_dir = '{folder}'
pcp_socket_dir = '{folder}'
wd_ipc_socket_dir = '{folder}'
pid_file_name = '{folder}/pgpool.pid'
logdir = '{folder}'
work_dir = '{folder}'
num_init_children = {children}
max_pool = 1
enable_pool_hba = off
load_balance_mode = off
sr_check_period = 0
health_check_period = 0
check_temp_table = 'none'
check_unlogged_table = off
relcache_size = 1024
enable_shared_relcache = off
memory_cache_enabled = on
memqcache_method = 'shmem'
memqcache_total_size = 256MB
memqcache_max_num_cache = 1000000
memqcache_expire = 0
memqcache_auto_cache_invalidation = on
memqcache_maxcache = 400kB
memqcache_cache_block_size = 1MB
memqcache_oiddir = '{folder}/oids'
"""
_START_SECONDS = 20.0


class PgPool:
    """One pgpool-II in front of a Postgres that trusts.

    Args:
        upstream: The Postgres.
        clustering: `raw`, or `streaming_replication` with one server.
        children: How many clients it serves at once: each has a process.
    """

    def __init__(self, upstream: Upstream, clustering: str = "raw", children: int = 48) -> None:
        program = debian_program("pgpool", "pgpool2")
        account = unprivileged_account()
        self._directory = ServerDirectory("pgpool", account)
        folder = self._directory.path
        port = free_port()
        configuration = folder / "pgpool.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                clustering=clustering,
                upstream=upstream,
                port=port,
                pcp_port=free_port(),
                folder=folder,
                children=children,
            )
        )
        oids = folder / "oids"
        oids.mkdir(mode=0o777)
        oids.chmod(0o777)  # whatever our umask is: it runs as somebody else
        self._process = ManagedProcess(
            "pgpool-II", [program, "-n", "-f", configuration], folder / "output.log", account=account
        )
        self.url = Upstream("127.0.0.1", port, upstream.user, upstream.database, upstream.password).url
        wait_until(self._is_ready, "pgpool-II", _START_SECONDS)

    def stop(self) -> None:
        """End it and remove its files."""
        self._process.stop(signal.SIGINT)
        self._directory.remove()

    def _is_ready(self) -> bool:
        if not self._process.running:
            return True
        try:
            with psycopg.connect(self.url, autocommit=True) as connection:
                return connection.execute("SHOW pool_cache").fetchone() is not None
        except psycopg.OperationalError:
            return False
