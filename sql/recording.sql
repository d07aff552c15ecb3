-- The recorded flights, each with the moment at which `weir demo` lets it arrive: when it left, or would have been called off.

CREATE SOURCE recording (
  sched_dep TIMESTAMP, dep TIMESTAMP, carrier TEXT, flight INT, tailnum TEXT, origin TEXT, dest TEXT,
  dep_delay DOUBLE PRECISION, arr_delay DOUBLE PRECISION, air_time DOUBLE PRECISION, distance INT
) WITH (connector = 'file', path = '$RECORDING') FORMAT PLAIN ENCODE JSON;

CREATE TABLE recorded (
  left_at DOUBLE PRECISION,
  sched_dep TIMESTAMP, dep TIMESTAMP, carrier TEXT, flight INT, tailnum TEXT, origin TEXT, dest TEXT,
  dep_delay DOUBLE PRECISION, arr_delay DOUBLE PRECISION, air_time DOUBLE PRECISION, distance INT
);

INSERT INTO recorded
SELECT extract(epoch FROM coalesce(dep, sched_dep + INTERVAL '6 hours'))::double precision, * FROM recording;

DROP SOURCE recording;
