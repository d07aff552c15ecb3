-- What `weir demo` sends before the first flight arrives.

-- The flights that have arrived so far.
CREATE TABLE flights (
  sched_dep TIMESTAMP, dep TIMESTAMP, carrier TEXT, flight INT, tailnum TEXT, origin TEXT, dest TEXT,
  dep_delay DOUBLE PRECISION, arr_delay DOUBLE PRECISION, air_time DOUBLE PRECISION, distance INT
);

-- Departures of each hour and airport, and how late they were.
CREATE MATERIALIZED VIEW by_hour AS
SELECT window_start, origin, count(*) AS flights, avg(dep_delay) AS mean_delay, max(dep_delay) AS worst
FROM TUMBLE(flights, sched_dep, INTERVAL '1 hour')
GROUP BY window_start, origin;

-- A view on a view: the busiest airport of each hour.
CREATE MATERIALIZED VIEW busiest AS
SELECT window_start, max(flights) AS flights FROM by_hour GROUP BY window_start;
