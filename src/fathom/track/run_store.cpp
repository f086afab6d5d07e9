#include "fathom/track/run_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/track/run_store_schema.h"
#include "fathom/track/sqlite.h"

namespace fathom {
namespace {

constexpr std::pair<RunStatus, const char*> kStatusNames[] = {
    {RunStatus::kRunning, "running"}, {RunStatus::kDone, "done"},
    {RunStatus::kFailed, "failed"},   {RunStatus::kInterrupted, "interrupted"},
    {RunStatus::kKilled, "killed"},
};

double now() {
  using std::chrono::system_clock;
  return std::chrono::duration<double>(system_clock::now().time_since_epoch()).count();
}

RunStatus parse_status(const Database& database, const std::string& text) {
  for (const auto& [status, name] : kStatusNames)
    if (text == name) return status;
  fail(fmt::format("run store {} holds a run with the unknown status {}", database.path(),
                   quoted_start(text)),
       "allowed: running, done, failed, interrupted, killed; set it with the sqlite3 shell");
}

constexpr const char* kRecordColumns =
    "id, name, experiment, config_toml, status, created_at, updated_at, last_step, best_metric, "
    "best_step, best_value";

RunRecord read_record(const Database& database, const SqlStatement& row) {
  RunRecord record;
  record.id = row.integer(0);
  record.name = row.text(1);
  record.experiment = row.text(2);
  record.config_toml = row.text(3);
  record.status = parse_status(database, row.text(4));
  record.created_at = row.real(5);
  record.updated_at = row.real(6);
  record.last_step = row.integer(7);
  record.best_metric = row.text(8);
  if (record.best_metric.empty()) return record;  // older files have a 0 there
  record.best_step = row.integer(9);
  record.best_value = row.real(10);
  return record;
}

// For an UPDATE that must have found its run.
void require_run(const Database& database) {
  if (database.changes() == 0)
    throw RunVanished(fmt::format("the run is no longer in run store {}", database.path()),
                      "another process has deleted it; its checkpoints are not affected");
}

}  // namespace

std::string run_store_path() {
  return runs_root() + "/fathom.db";
}

const char* status_name(RunStatus status) {
  return kStatusNames[static_cast<size_t>(status)].second;
}

StoreLocked::StoreLocked(const std::string& message, std::string hint)
    : Error(ErrorKind::kFailure, message, std::move(hint)) {}

RunVanished::RunVanished(const std::string& message, std::string hint)
    : Error(ErrorKind::kFailure, message, std::move(hint)) {}

struct RunStore::Impl {
  std::unique_ptr<Database> database;
};

RunStore::RunStore(const std::string& path, RunStoreOptions options)
    : impl_(std::make_unique<Impl>()) {
  impl_->database = open_store(path, options);
}

RunStore::~RunStore() = default;
RunStore::RunStore(RunStore&&) noexcept = default;
RunStore& RunStore::operator=(RunStore&&) noexcept = default;

RunHandle RunStore::create_run(const std::string& name, const std::string& experiment,
                               const std::string& config_toml) {
  check_run_name(name);
  Database& database = *impl_->database;
  WriteTransaction transaction(database);
  if (find(name))
    misuse(fmt::format("a run named {} is already in run store {}", name, database.path()),
           "choose another --run_name, or --force to replace it");
  const double time = now();
  SqlStatement(database,
               "INSERT INTO runs (name, experiment, config_toml, status, created_at, updated_at, "
               "last_step, best_step, best_value) VALUES (?, ?, ?, 'running', ?, ?, -1, -1, NULL)")
      .bind(0, name)
      .bind(1, experiment)
      .bind(2, config_toml)
      .bind(3, time)
      .bind(4, time)
      .execute();
  const RunHandle run{database.last_insert_id()};
  transaction.commit();
  return run;
}

RunHandle RunStore::reopen_run(const std::string& name, const std::string& config_toml,
                               int64_t step) {
  const std::optional<RunRecord> record = find(name);
  if (!record)
    throw RunVanished(
        fmt::format("there is no run named {} in run store {}", name, impl_->database->path()),
        "its checkpoints may still be there: train from them under another --run_name");
  reopen({record->id}, config_toml, step);
  return {record->id};
}

void RunStore::reopen(RunHandle run, const std::string& config_toml, int64_t step) {
  Database& database = *impl_->database;
  WriteTransaction transaction(database);
  SqlStatement(database,
               "UPDATE runs SET status = 'running', updated_at = ?, last_step = min(last_step, ?), "
               "config_toml = ? WHERE id = ?")
      .bind(0, now())
      .bind(1, step)
      .bind(2, config_toml)
      .bind(3, run.id)
      .execute();
  require_run(database);
  SqlStatement(database, "DELETE FROM metrics WHERE run_id = ? AND step > ?")
      .bind(0, run.id)
      .bind(1, step)
      .execute();
  // The best step may be one of those that are to be computed anew.
  SqlStatement(database,
               "UPDATE runs SET best_metric = '', best_step = -1, best_value = NULL "
               "WHERE id = ? AND best_step > ?")
      .bind(0, run.id)
      .bind(1, step)
      .execute();
  transaction.commit();
}

void RunStore::add(RunHandle run, int64_t step, Span<const MetricValue> values) {
  Database& database = *impl_->database;
  WriteTransaction transaction(database);
  SqlStatement(database,
               "UPDATE runs SET updated_at = ?, last_step = max(last_step, ?) WHERE id = ?")
      .bind(0, now())
      .bind(1, step)
      .bind(2, run.id)
      .execute();
  require_run(database);
  SqlStatement insert(
      database, "INSERT OR REPLACE INTO metrics (run_id, step, name, value) VALUES (?, ?, ?, ?)");
  insert.bind(0, run.id).bind(1, step);
  for (const MetricValue& metric : values)
    insert.bind(2, metric.name).bind(3, metric.value).execute();
  transaction.commit();
}

void RunStore::set_status(RunHandle run, RunStatus status) {
  Database& database = *impl_->database;
  SqlStatement(database, "UPDATE runs SET status = ?, updated_at = ? WHERE id = ?")
      .bind(0, status_name(status))
      .bind(1, now())
      .bind(2, run.id)
      .execute();
  require_run(database);
}

void RunStore::set_best(RunHandle run, const std::string& metric, int64_t step, double value) {
  Database& database = *impl_->database;
  SqlStatement(database,
               "UPDATE runs SET best_metric = ?, best_step = ?, best_value = ?, updated_at = ? "
               "WHERE id = ?")
      .bind(0, metric)
      .bind(1, step)
      .bind(2, value)
      .bind(3, now())
      .bind(4, run.id)
      .execute();
  require_run(database);
}

void RunStore::set_busy_timeout(int milliseconds) {
  impl_->database->set_busy_timeout(milliseconds);
}

bool RunStore::is_current() const {
  return impl_->database->is_current();
}

int RunStore::settle_killed_runs() {
  Database& database = *impl_->database;
  // A process that goes on with one of them takes its folder's lock first and then waits for this.
  WriteTransaction transaction(database);
  int killed = 0;
  for (const RunRecord& record : runs()) {
    if (record.status != RunStatus::kRunning || is_held(folder_of(record.name))) continue;
    SqlStatement(database, "UPDATE runs SET status = ? WHERE id = ?")
        .bind(0, status_name(RunStatus::kKilled))
        .bind(1, record.id)
        .execute();
    ++killed;
  }
  // Of files that an older fathom made.
  SqlStatement(database,
               "UPDATE runs SET best_step = -1, best_value = NULL "
               "WHERE best_metric = '' AND best_value IS NOT NULL")
      .execute();
  transaction.commit();
  return killed;
}

RunStatus RunStore::status_now(const RunRecord& record) const {
  const bool killed = record.status == RunStatus::kRunning && !is_held(folder_of(record.name));
  return killed ? RunStatus::kKilled : record.status;
}

std::string RunStore::folder_of(const std::string& name) const {
  return (std::filesystem::path(impl_->database->path()).parent_path() / name).string();
}

void settle_killed_runs(const std::string& path) noexcept {
  try {
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) return;
    RunStoreOptions options;
    options.busy_timeout_ms = 1000;
    RunStore(path, options).settle_killed_runs();
  } catch (const std::exception&) {
    // Locked, read-only or no store at all: whoever needs it will say so.
  }
}

void check_run_store(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return;
  RunStoreOptions options;
  options.busy_timeout_ms = 1000;
  try {
    RunStore{path, options};
  } catch (const StoreLocked&) {
    // Its owner will be done some time.
  }
}

bool RunStore::delete_run(const std::string& name) {
  Database& database = *impl_->database;
  SqlStatement(database, "DELETE FROM runs WHERE name = ?").bind(0, name).execute();
  return database.changes() > 0;
}

std::optional<RunRecord> RunStore::find(const std::string& name) const {
  Database& database = *impl_->database;
  const std::string sql = fmt::format("SELECT {} FROM runs WHERE name = ?", kRecordColumns);
  SqlStatement query(database, sql.c_str());
  query.bind(0, name);
  if (!query.next()) return std::nullopt;
  return read_record(database, query);
}

std::vector<RunRecord> RunStore::runs() const {
  Database& database = *impl_->database;
  const std::string sql = fmt::format("SELECT {} FROM runs ORDER BY id DESC", kRecordColumns);
  SqlStatement query(database, sql.c_str());
  std::vector<RunRecord> records;
  while (query.next()) records.push_back(read_record(database, query));
  return records;
}

std::vector<Point> RunStore::series(const std::string& name, const std::string& metric) const {
  SqlStatement query(*impl_->database,
                     "SELECT step, value FROM metrics "
                     "WHERE run_id = (SELECT id FROM runs WHERE runs.name = ?) AND name = ? "
                     "ORDER BY step");
  query.bind(0, name).bind(1, metric);
  std::vector<Point> points;
  while (query.next()) points.push_back({query.integer(0), query.real(1)});
  return points;
}

std::optional<Point> RunStore::last_point(const std::string& name,
                                          const std::string& metric) const {
  SqlStatement query(*impl_->database,
                     "SELECT step, value FROM metrics "
                     "WHERE run_id = (SELECT id FROM runs WHERE runs.name = ?) AND name = ? "
                     "ORDER BY step DESC LIMIT 1");
  query.bind(0, name).bind(1, metric);
  if (!query.next()) return std::nullopt;
  return Point{query.integer(0), query.real(1)};
}

std::vector<std::string> RunStore::metric_names(const std::string& name) const {
  Database& database = *impl_->database;
  const std::optional<RunRecord> run = find(name);
  std::vector<std::string> names;
  while (run) {
    // From each name straight to the next one in the index: SELECT DISTINCT would read all values.
    SqlStatement query(
        database, "SELECT name FROM metrics WHERE run_id = ? AND name > ? ORDER BY name LIMIT 1");
    query.bind(0, run->id).bind(1, names.empty() ? std::string_view() : names.back());
    if (!query.next()) break;
    std::string next = query.text(0);
    // A BLOB is greater than every text: asked for the name after it, the index has itself.
    if (!names.empty() && next <= names.back())
      fail(fmt::format("run store {}: the names of {}'s metrics do not come in order",
                       database.path(), quoted_start(name)),
           "`DELETE FROM metrics WHERE typeof(name) != 'text'` in the sqlite3 shell removes what "
           "is no name; if that does not help, the file is damaged: move it away");
    names.push_back(std::move(next));
  }
  return names;
}

void RunStore::for_each_step(const std::string& name, const VisitStep& visit) const {
  Database& database = *impl_->database;
  const ReadTransaction one_moment(database);
  const std::vector<std::string> names = metric_names(name);
  SqlStatement query(database,
                     "SELECT step, name, value FROM metrics "
                     "WHERE run_id = (SELECT id FROM runs WHERE runs.name = ?) ORDER BY step");
  query.bind(0, name);
  StepValues row;
  bool pending = false;
  while (query.next()) {
    const int64_t step = query.integer(0);
    if (pending && step != row.step) visit(names, row);
    if (!pending || step != row.step) {
      row.step = step;
      row.values.assign(names.size(), std::nullopt);
    }
    pending = true;
    const std::string metric = query.text(1);
    const auto place = std::lower_bound(names.begin(), names.end(), metric);
    if (place != names.end() && *place == metric)  // in a damaged file it may not be
      row.values[static_cast<size_t>(place - names.begin())] = query.real(2);
  }
  if (pending) visit(names, row);
}

}  // namespace fathom
