create index sweep_runs_by_age on sweep_runs (started_at_ms)
