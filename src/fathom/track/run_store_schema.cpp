#include "fathom/track/run_store_schema.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <system_error>
#include <thread>

#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr int64_t kSchemaVersion = 1;
// In the file's header, so that we never write our tables into somebody else's database.
constexpr int64_t kApplicationId = 0x66617468;  // "fath"

// AUTOINCREMENT: the id of a deleted run must not come back, another process may still hold it.
// The metrics' primary key is the order in which they are read, and their only copy.
constexpr const char* kSchema = R"sql(
CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  experiment TEXT NOT NULL,
  config_toml TEXT NOT NULL,
  status TEXT NOT NULL,
  created_at REAL NOT NULL,  -- seconds since 1970
  updated_at REAL NOT NULL,
  last_step INTEGER NOT NULL DEFAULT -1,  -- -1: no values yet
  best_metric TEXT NOT NULL DEFAULT '',
  best_step INTEGER NOT NULL DEFAULT -1,  -- -1, and NULL: never evaluated
  best_value REAL
);
CREATE TABLE metrics (
  run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  step INTEGER NOT NULL,
  name TEXT NOT NULL,
  value REAL,  -- NULL: not a number
  PRIMARY KEY (run_id, name, step)
) WITHOUT ROWID;
)sql";

bool is_new(Database& database) {
  return database.integer("PRAGMA user_version") == 0 &&
         database.integer("SELECT count(*) FROM sqlite_master") == 0;
}

void check_schema(Database& database) {
  const int64_t version = database.integer("PRAGMA user_version");
  if (database.integer("PRAGMA application_id") != kApplicationId || version < 1)
    fail(fmt::format("{} is a database, but not a run store of fathom", database.path()),
         "set FATHOM_RUNS to a folder for fathom's runs alone");
  if (version > kSchemaVersion)
    fail(fmt::format("run store {} has schema version {}, and this fathom knows versions up to {}",
                     database.path(), version, kSchemaVersion),
         "use the fathom that wrote it or a newer one, or set FATHOM_RUNS to another folder");
  // Tables, not views: what a view computes can take for ever.
  if (database.integer("SELECT count(*) FROM sqlite_master "
                       "WHERE type = 'table' AND name IN ('runs', 'metrics')") != 2)
    fail(fmt::format("run store {} lacks its tables runs and metrics", database.path()),
         "move it away, and the next run begins a new one (checkpoints are not affected)");
}

// The switch to a write-ahead log is refused at once, busy timeout or not, while another process
// is setting up the same new file. It lasts for the life of the file, so only the first openers
// ever wait here.
void enable_wal(Database& database, int timeout_ms) {
  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  while (!database.try_run("PRAGMA journal_mode = WAL")) {
    if (steady_clock::now() >= deadline) return database.run("PRAGMA journal_mode = WAL");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void create_schema(Database& database, int timeout_ms) {
  enable_wal(database, timeout_ms);
  WriteTransaction transaction(database);
  if (is_new(database)) {  // else another process was quicker
    database.run(kSchema);
    database.run(fmt::format("PRAGMA application_id = {}", kApplicationId).c_str());
    database.run(fmt::format("PRAGMA user_version = {}", kSchemaVersion).c_str());
  }
  transaction.commit();
}

void create_parent(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (error)
    fail(fmt::format("cannot create the folder {}: {}", parent.string(), error.message()),
         "set FATHOM_RUNS to a folder that you may write to");
}

[[noreturn]] void fail_missing(const std::string& path) {
  fail(fmt::format("there is no run store {}", path),
       "train a run first, or set FATHOM_RUNS to the folder of your runs");
}

}  // namespace

std::unique_ptr<Database> open_store(const std::string& path, const RunStoreOptions& options) {
  std::error_code ignored;
  if (options.read_only && !std::filesystem::exists(path, ignored)) fail_missing(path);
  if (!options.read_only) create_parent(path);
  auto database = std::make_unique<Database>(path, options.read_only, options.busy_timeout_ms);
  if (is_new(*database)) {
    if (options.read_only) fail_missing(path);  // a writer is about to fill it
    create_schema(*database, options.busy_timeout_ms);
  }
  check_schema(*database);
  // NORMAL: a commit is in the log, where a kill of the process cannot reach it, without a wait for
  // the disk; a metric is not worth stalling the training for.
  database->run("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
  return database;
}

}  // namespace fathom
