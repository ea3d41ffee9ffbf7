-- Data like a shop's: foreign keys, jsonb, toasted text, a tablespace. Used by scripts/demo.
CREATE TABLE customers (
    id serial PRIMARY KEY,
    name text NOT NULL,
    email text UNIQUE NOT NULL,
    profile jsonb NOT NULL
);
CREATE TABLE orders (
    id bigserial PRIMARY KEY,
    customer_id int NOT NULL REFERENCES customers,
    placed timestamptz NOT NULL,
    note jsonb
);
CREATE INDEX ON orders (customer_id, placed);
CREATE TABLE order_lines (
    order_id bigint NOT NULL REFERENCES orders ON DELETE CASCADE,
    line int NOT NULL,
    article text NOT NULL,
    price numeric(10, 2) NOT NULL,
    PRIMARY KEY (order_id, line)
);
CREATE TABLE documents (
    id serial PRIMARY KEY,
    customer_id int NOT NULL REFERENCES customers,
    body text NOT NULL -- long enough to be stored out of line
) TABLESPACE documents;

INSERT INTO customers (name, email, profile)
SELECT 'Customer ' || i, 'c' || i || '@shop.example',
    jsonb_build_object('city', (ARRAY['Lyon', 'Turku', 'Graz', 'Porto', 'Gdansk'])[1 + i % 5],
        'newsletter', i % 3 = 0, 'tags', jsonb_build_array(i % 7, i % 11))
FROM generate_series(1, 1000) i;
INSERT INTO orders (customer_id, placed, note)
SELECT 1 + (i * 7919) % 1000, now() - (20000 - i) * interval '5 minutes',
    jsonb_build_object('channel', CASE WHEN i % 4 = 0 THEN 'phone' ELSE 'web' END)
FROM generate_series(1, 20000) i;
INSERT INTO order_lines
SELECT 1 + i / 3, 1 + i % 3, 'article ' || (i * 31) % 500, ((i * 17) % 9000) / 100.0
FROM generate_series(0, 59999) i;
INSERT INTO documents (customer_id, body)
SELECT 1 + i % 1000, (SELECT string_agg(md5(i::text || j::text), ' ') FROM generate_series(1, 300) j)
FROM generate_series(1, 400) i;
ANALYZE;
