"""The shop's tables and rows: the same on every machine, without chance. Pure: only SQL.

No column has a type that a peer does not cache (pgpool-II: `timestamptz`), and every order of rows is total, so that an
answer is right or wrong and never a matter of the plan.
"""

from dataclasses import dataclass

TABLES = ("category", "product", "customer", "orders", "order_item", "review")

_MAKE = """
CREATE TABLE category (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE product (
    id int PRIMARY KEY, category_id int NOT NULL REFERENCES category, name text NOT NULL,
    price numeric(10, 2) NOT NULL, stock int NOT NULL, added_on date NOT NULL);
CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL, email text NOT NULL, city text NOT NULL);
CREATE TABLE orders (
    id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customer, status text NOT NULL,
    total numeric(10, 2) NOT NULL, placed_on date NOT NULL);
CREATE TABLE order_item (
    order_id int NOT NULL REFERENCES orders, line int NOT NULL, product_id int NOT NULL REFERENCES product,
    quantity int NOT NULL, price numeric(10, 2) NOT NULL, PRIMARY KEY (order_id, line));
CREATE TABLE review (
    id int PRIMARY KEY, product_id int NOT NULL REFERENCES product, customer_id int NOT NULL REFERENCES customer,
    stars int NOT NULL, body text NOT NULL);
"""
_INDEX = """
CREATE INDEX ON product (category_id, price, id);
CREATE INDEX ON product (category_id, added_on, id);
CREATE INDEX ON orders (customer_id);
CREATE INDEX ON orders (placed_on);
CREATE INDEX ON order_item (product_id);
CREATE INDEX ON review (product_id);
ANALYZE;
"""
FIRST_DAY = "2026-01-01"
ORDERS_A_DAY = 100
LINES_AN_ORDER = 2  # of those that are there at the beginning


@dataclass(frozen=True, slots=True)
class ShopSize:
    """How many rows there are at the beginning."""

    categories: int = 100
    products: int = 10_000
    customers: int = 10_000
    orders: int = 30_000
    reviews: int = 30_000


def setup_statements(size: ShopSize) -> list[str]:
    """Return what makes the tables with their rows, each statement on its own."""
    return [*_statements(_MAKE), *_rows(size), *_statements(_INDEX)]


def identity_statements(identity: str) -> list[str]:
    """Return what gives all tables a replica identity: FULL or DEFAULT."""
    return [f"ALTER TABLE {table} REPLICA IDENTITY {identity}" for table in TABLES]


def _rows(size: ShopSize) -> list[str]:
    customer = f"(g * 31) % {size.customers} + 1"
    product = f"(g * 17) % {size.products} + 1"
    return [
        f"INSERT INTO category SELECT g, 'category ' || g FROM generate_series(1, {size.categories}) g",
        f"""INSERT INTO product
            SELECT g, (g * 13) % {size.categories} + 1, 'product ' || g, (g * 37) % 20000 / 100.0 + 1, (g * 7) % 500,
                   date '2025-01-01' + (g * 11) % 365
            FROM generate_series(1, {size.products}) g""",
        f"""INSERT INTO customer
            SELECT g, 'customer ' || g, 'c' || g || '@example.org', 'city ' || (g * 3) % 200
            FROM generate_series(1, {size.customers}) g""",
        f"""INSERT INTO orders
            SELECT g, {customer}, 'delivered', (g * 41) % 30000 / 100.0 + 5,
                   date '{FIRST_DAY}' + (g - 1) / {ORDERS_A_DAY}
            FROM generate_series(1, {size.orders}) g""",
        f"""INSERT INTO order_item
            SELECT (g - 1) / {LINES_AN_ORDER} + 1, (g - 1) % {LINES_AN_ORDER} + 1, {product}, g % 3 + 1,
                   (g * 29) % 10000 / 100.0 + 1
            FROM generate_series(1, {size.orders * LINES_AN_ORDER}) g""",
        f"""INSERT INTO review
            SELECT g, {product}, {customer}, g % 5 + 1, 'review ' || g
            FROM generate_series(1, {size.reviews}) g""",
    ]


def _statements(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]
