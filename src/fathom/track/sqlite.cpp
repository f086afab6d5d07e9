#include "fathom/track/sqlite.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>

#include "fathom/base/error.h"
#include "fathom/io/files.h"
#include "fathom/track/run_store.h"

namespace fathom {
namespace {

// A damaged cell may claim to be as long as it likes, and SQLite makes room for it.
constexpr int64_t kMostMemory = 48 << 20;  // of all connections

// Why a statement could not write or read, or 0. SQLite does not keep it where a commit failed;
// then `left`, errno after the statement, has it where it is one that no other call leaves there.
int fault(sqlite3* handle, int left) {
  const int error = handle != nullptr ? sqlite3_system_errno(handle) : 0;
  if (error != 0) return error;
  for (const int one : {EFBIG, EDQUOT, ENOSPC, EIO})
    if (left == one) return one;
  return 0;
}

// Why a file could not be opened, where it was for want of something and not for the file; or 0.
int lacking(sqlite3* handle) {
  const int error = handle != nullptr ? sqlite3_system_errno(handle) : 0;
  for (const int want : {EMFILE, ENFILE, ENOSPC, ENOMEM})
    if (error == want) return error;
  return 0;
}

}  // namespace

Database::Database(const std::string& path, bool read_only, int busy_timeout_ms)
    : path_(path), busy_timeout_ms_(busy_timeout_ms) {
  sqlite3_hard_heap_limit64(kMostMemory);
  const int flags = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  // Without SQLite's own mutexes: a connection stays on one thread.
  const int code = sqlite3_open_v2(path.c_str(), &handle_, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code == SQLITE_OK) {
    sqlite3_busy_timeout(handle_, busy_timeout_ms);
    struct stat status = {};
    stat(path.c_str(), &status);
    device_ = status.st_dev, inode_ = status.st_ino;
    return;
  }
  const int error = lacking(handle_);
  // A handle comes with a failed open too, and no destructor runs for a constructor that throws.
  sqlite3_close_v2(handle_);
  handle_ = nullptr;
  if (error != 0) fail_system("open the run store", path, error);
  fail_with(code);
}

void Database::set_busy_timeout(int milliseconds) {
  busy_timeout_ms_ = milliseconds;
  sqlite3_busy_timeout(handle_, milliseconds);
}

bool Database::is_current() const {
  struct stat status = {};
  return stat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
}

Database::~Database() {
  sqlite3_close_v2(handle_);
}

void Database::run(const char* sql) {
  errno = 0;  // for fail_with()
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail_with(code);
}

bool Database::try_run(const char* sql) {
  errno = 0;
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK && (code & 0xFF) != SQLITE_BUSY) fail_with(code);
  return code == SQLITE_OK;
}

int64_t Database::integer(const char* sql) {
  SqlStatement query(*this, sql);
  return query.next() ? query.integer(0) : 0;
}

int64_t Database::last_insert_id() const {
  return sqlite3_last_insert_rowid(handle_);
}

int64_t Database::changes() const {
  return sqlite3_changes(handle_);
}

void Database::fail_with(int code) const {
  const int left = errno;
  switch (code & 0xFF) {  // the low byte is the primary code
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw StoreLocked(
          fmt::format("run store {} is locked: another process has been writing to it for more "
                      "than {:g} s",
                      path_, busy_timeout_ms_ / 1000.0),
          fmt::format("`fuser -v {}` shows which; try again once it has ended", path_));
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      fail(
          fmt::format("run store {} is read-only for you, or its folder is", path_),
          // Readers too take part in the log's shared memory.
          "set FATHOM_RUNS to a folder that you may write to; to read these runs, copy them there");
    case SQLITE_CANTOPEN:  // its log or an index of it too, at any statement
      if (const int error = lacking(handle_); error != 0)
        fail_system("open the run store", path_, error);
      fail(fmt::format("run store {} cannot be opened: it is missing, or the file or its folder is "
                       "read-only for you",
                       path_),
           "set FATHOM_RUNS to the folder of your runs; you need write permission there");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      fail(fmt::format("run store {} is damaged or is not a SQLite database", path_),
           "move it away, and the next run begins a new one (checkpoints are not affected); "
           "`sqlite3 FILE .recover` may save its numbers");
    case SQLITE_NOMEM:
      fail(fmt::format(
               "run store {} asks for more memory than the {} MiB it may have: it is damaged",
               path_, kMostMemory >> 20),
           "move it away, and the next run begins a new one (checkpoints are not affected)");
    case SQLITE_FULL:
      fail(fmt::format("run store {} cannot grow: the disk is full", path_),
           "free some space there; nothing that was stored before is lost");
    case SQLITE_IOERR:
      if (const int error = fault(handle_, left); error != 0)
        fail(fmt::format("run store {} cannot be written or read: {}", path_, std::strerror(error)),
             SystemError("", "", error).hint());
      [[fallthrough]];
    default:
      fail(fmt::format("run store {}: {}", path_,
                       handle_ ? sqlite3_errmsg(handle_) : sqlite3_errstr(code)),
           "is the folder on a network file system? FATHOM_RUNS must name one on a local disk");
  }
}

SqlStatement::SqlStatement(Database& database, const char* sql) : database_(database) {
  check(sqlite3_prepare_v2(database.handle_, sql, -1, &handle_, nullptr));
}

SqlStatement::~SqlStatement() {
  sqlite3_finalize(handle_);
}

void SqlStatement::check(int code) const {
  if (code != SQLITE_OK) database_.fail_with(code);
}

SqlStatement& SqlStatement::bind(int index, int64_t value) {
  check(sqlite3_bind_int64(handle_, index + 1, value));
  return *this;
}

SqlStatement& SqlStatement::bind(int index, double value) {
  // SQLite has no NaN: say NULL ourselves rather than rely on its conversion.
  check(std::isnan(value) ? sqlite3_bind_null(handle_, index + 1)
                          : sqlite3_bind_double(handle_, index + 1, value));
  return *this;
}

SqlStatement& SqlStatement::bind(int index, std::string_view value) {
  check(sqlite3_bind_text64(handle_, index + 1, value.data() ? value.data() : "", value.size(),
                            SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

bool SqlStatement::next() {
  errno = 0;
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) database_.fail_with(code);
  return false;
}

void SqlStatement::execute() {
  while (next()) {
  }
  check(sqlite3_reset(handle_));
}

int64_t SqlStatement::integer(int column) const {
  return sqlite3_column_int64(handle_, column);
}

double SqlStatement::real(int column) const {
  if (sqlite3_column_type(handle_, column) == SQLITE_NULL)
    return std::numeric_limits<double>::quiet_NaN();
  return sqlite3_column_double(handle_, column);
}

std::string SqlStatement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
  const auto size = static_cast<size_t>(sqlite3_column_bytes(handle_, column));
  return bytes ? std::string(bytes, size) : std::string();
}

ReadTransaction::ReadTransaction(Database& database) : database_(database) {
  database_.run("BEGIN DEFERRED");
}

ReadTransaction::~ReadTransaction() {
  try {
    database_.run("ROLLBACK");  // there is nothing to keep
  } catch (const Error&) {
    // After some failures SQLite has rolled back by itself.
  }
}

WriteTransaction::WriteTransaction(Database& database) : database_(database) {
  database_.run("BEGIN IMMEDIATE");
}

WriteTransaction::~WriteTransaction() {
  if (!open_) return;
  try {
    database_.run("ROLLBACK");
  } catch (const Error&) {
    // After some failures (disk full) SQLite has rolled back by itself.
  }
}

void WriteTransaction::commit() {
  database_.run("COMMIT");
  open_ = false;
}

}  // namespace fathom
