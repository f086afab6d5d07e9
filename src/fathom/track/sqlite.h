// A thin layer over SQLite for the run store: owned handles, and every failure as one Error that
// names the file. Internal to track/.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace fathom {

class Database {
 public:
  // read_only: the file must exist. Else it is created if need be.
  Database(const std::string& path, bool read_only, int busy_timeout_ms);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  const std::string& path() const { return path_; }
  void set_busy_timeout(int milliseconds);
  bool is_current() const;           // the file that was opened is still at path()
  void run(const char* sql);         // one or more statements without results
  bool try_run(const char* sql);     // the same; false if another process's lock prevents it
  int64_t integer(const char* sql);  // the single value of a query
  int64_t last_insert_id() const;
  int64_t changes() const;  // rows that the last statement touched

  // Throws what the connection's last failure means to whoever typed the command.
  [[noreturn]] void fail_with(int code) const;

 private:
  friend class SqlStatement;
  std::string path_;
  int busy_timeout_ms_;
  sqlite3* handle_ = nullptr;
  uint64_t device_ = 0, inode_ = 0;  // of the file
};

// One prepared statement. Parameters and columns are counted from 0; both the statement and the
// snapshot that a query reads from end with the object.
class SqlStatement {
 public:
  SqlStatement(Database& database, const char* sql);
  ~SqlStatement();
  SqlStatement(const SqlStatement&) = delete;
  SqlStatement& operator=(const SqlStatement&) = delete;

  SqlStatement& bind(int index, int64_t value);
  SqlStatement& bind(int index, double value);            // NaN becomes NULL
  SqlStatement& bind(int index, std::string_view value);  // copied
  bool next();                                            // true: there is a row to read
  void execute();  // for statements without results; may be repeated

  int64_t integer(int column) const;
  double real(int column) const;  // NULL becomes NaN
  std::string text(int column) const;

 private:
  void check(int code) const;
  Database& database_;
  sqlite3_stmt* handle_ = nullptr;
};

// While it lives, every query sees the state that the first one saw, whoever writes meanwhile. Only
// for reading: a WriteTransaction inside it is refused.
class ReadTransaction {
 public:
  explicit ReadTransaction(Database& database);
  ~ReadTransaction();
  ReadTransaction(const ReadTransaction&) = delete;
  ReadTransaction& operator=(const ReadTransaction&) = delete;

 private:
  Database& database_;
};

// Takes the write lock at once: a transaction that began as a reader and then writes could be
// refused without waiting. Rolled back unless committed.
class WriteTransaction {
 public:
  explicit WriteTransaction(Database& database);
  ~WriteTransaction();
  WriteTransaction(const WriteTransaction&) = delete;
  WriteTransaction& operator=(const WriteTransaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace fathom
