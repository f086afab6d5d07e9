// The parsers of /proc and /sys, with what real machines say and with garbage; folders; children.
#include "fathom/machine/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <map>

#include "cli/cli_testing.h"
#include "fathom/io/program.h"
#include "fathom/machine/engine_program.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Workplace;
namespace fs = std::filesystem;

constexpr const char* kGarbage[] = {"",          "\n",       " ",     "::",   "-",
                                    "max",       "\xff\xfe", "1:2:3", "/ - ", "0-",
                                    "a:b:/ - c", "- ",       ":",     ",",    "no file"};

TEST(MachineParsers, CpuModel) {
  EXPECT_EQ(cpu_model("processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC 7R13 \n"
                      "stepping\t: 1\nmodel name\t: another\n"),
            "AMD EPYC 7R13");
  EXPECT_EQ(cpu_model("processor\t: 0\nBogoMIPS\t: 243.75\n"), "");
  for (const char* garbage : kGarbage) EXPECT_EQ(cpu_model(garbage), "") << garbage;
}

TEST(MachineParsers, CpuList) {
  EXPECT_EQ(count_cpu_list("0-1\n"), 2);
  EXPECT_EQ(count_cpu_list("0"), 1);
  EXPECT_EQ(count_cpu_list("0-3,8,10-11\n"), 7);
  EXPECT_EQ(count_cpu_list("3-1"), 0);
  EXPECT_EQ(count_cpu_list("0-2147483647"), 0);
  EXPECT_EQ(count_cpu_list("0-99999999999"), 0);
  EXPECT_EQ(count_cpu_list("-1-2"), 0);
  for (const char* garbage : kGarbage) EXPECT_EQ(count_cpu_list(garbage), 0) << garbage;
}

TEST(MachineParsers, LoadAverage) {
  EXPECT_DOUBLE_EQ(*load_average("5.88 5.03 3.31 8/121 1493\n"), 5.88);
  for (const char* text : {"nan 1 1", "inf 1 1", "-1 0 0"}) EXPECT_FALSE(load_average(text));
  for (const char* garbage : kGarbage) EXPECT_FALSE(load_average(garbage)) << garbage;
}

TEST(MachineParsers, CpuLimits) {
  EXPECT_DOUBLE_EQ(*parse_cpu_max("150000 100000\n"), 1.5);
  EXPECT_FALSE(parse_cpu_max("max 100000\n"));
  EXPECT_FALSE(parse_cpu_max("100000 0"));
  EXPECT_FALSE(parse_cpu_max("100000"));
  EXPECT_DOUBLE_EQ(*parse_cfs_quota("50000\n", "100000\n"), 0.5);
  EXPECT_FALSE(parse_cfs_quota("-1\n", "100000\n"));
  for (const char* garbage : kGarbage) {
    EXPECT_FALSE(parse_cpu_max(garbage)) << garbage;
    EXPECT_FALSE(parse_cfs_quota(garbage, garbage)) << garbage;
    EXPECT_FALSE(parse_memory_limit(garbage)) << garbage;
  }
}

TEST(MachineParsers, Memory) {
  const auto memory = parse_meminfo(
      "MemTotal:       24684096 kB\nMemFree:        20645968 kB\nMemAvailable:   23509984 kB\n");
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->total, 24684096ull * 1024);
  EXPECT_EQ(memory->available, 23509984ull * 1024);
  EXPECT_FALSE(parse_meminfo("MemTotal: 1 kB\n"));
  EXPECT_FALSE(parse_meminfo("MemTotal: x kB\nMemAvailable: 99999999999999999999 kB\n"));
  for (const char* garbage : kGarbage) EXPECT_FALSE(parse_meminfo(garbage)) << garbage;
  EXPECT_EQ(parse_memory_limit("1073741824\n"), 1073741824u);
  EXPECT_FALSE(parse_memory_limit("9223372036854771712\n")) << "v1's way to say that there is none";
}

TEST(MachineParsers, MappedLibraries) {
  const char* maps =
      "55e0-55e1 r--p 00000000 08:01 12 /opt/fathom-engine\n"
      "7f00-7f01 r--p 00000000 08:01 34 /usr/lib/libgomp.so.1.0.0\n"
      "7f01-7f02 r-xp 00001000 08:01 34 /usr/lib/libgomp.so.1.0.0\n"
      "7f02-7f03 rw-p 00000000 00:00 0 \n"
      "7f03-7f04 r-xp 00000000 08:01 56 /my lib/libblas.so.3 (deleted)\n"
      "7f04-7f05 r--s 00000000 08:01 78 /usr/lib/locale.so/archive\n"
      "7fff-8000 r-xp 00000000 00:00 0 [vdso]\n"
      "8001-8002 r--p 00000000 08:01 90 /last.so";
  EXPECT_THAT(mapped_libraries(maps),
              ElementsAre("/usr/lib/libgomp.so.1.0.0", "/my lib/libblas.so.3", "/last.so"));
  for (const char* garbage : kGarbage) EXPECT_THAT(mapped_libraries(garbage), IsEmpty());
  EXPECT_THAT(mapped_libraries("/.so/ (deleted)"), IsEmpty());
}

std::vector<std::string> paths(const std::vector<CgroupFolder>& folders, bool unified) {
  std::vector<std::string> out;
  for (const CgroupFolder& folder : folders) {
    EXPECT_EQ(folder.unified, unified);
    out.push_back(folder.path);
  }
  return out;
}

constexpr const char* kMountV2 =
    "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr const char* kMountsV1 =
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 /docker/ab /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory\n";

TEST(MachineParsers, CgroupFolders) {
  EXPECT_THAT(
      paths(cgroup_folders("0::/user.slice/a:b\n", kMountV2, "cpu"), true),
      ElementsAre("/sys/fs/cgroup/user.slice/a:b", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup"));
  EXPECT_THAT(paths(cgroup_folders("0::/\n", kMountV2, "memory"), true),
              ElementsAre("/sys/fs/cgroup"));
  EXPECT_THAT(paths(cgroup_folders("0::/../other\n", kMountV2, "cpu"), true),
              ElementsAre("/sys/fs/cgroup"));

  const char* v1 = "4:memory:/docker/ab/job\n3:cpuset:/\n2:cpu,cpuacct:/one\n1:name=systemd:/\n";
  EXPECT_THAT(paths(cgroup_folders(v1, kMountsV1, "cpu"), false),
              ElementsAre("/sys/fs/cgroup/cpu,cpuacct/one", "/sys/fs/cgroup/cpu,cpuacct"));
  EXPECT_THAT(paths(cgroup_folders(v1, kMountsV1, "memory"), false),
              ElementsAre("/sys/fs/cgroup/memory/job", "/sys/fs/cgroup/memory"))
      << "the mount shows what is below /docker/ab";
  EXPECT_THAT(paths(cgroup_folders("4:memory:/docker/abc\n", kMountsV1, "memory"), false),
              ElementsAre("/sys/fs/cgroup/memory"));
  for (const char* garbage : kGarbage) {
    EXPECT_THAT(cgroup_folders(garbage, kMountsV1, "cpu"), IsEmpty()) << garbage;
    EXPECT_THAT(cgroup_folders(v1, garbage, "cpu"), IsEmpty()) << garbage;
  }
}

// A machine made of texts.
FileReader reader(std::map<std::string, std::string> files) {
  return [files = std::move(files)](const std::string& path) {
    const auto it = files.find(path);
    return it == files.end() ? "" : it->second;
  };
}

TEST(MachineReadings, TheTightestLimitOfAllParentsHolds) {
  std::map<std::string, std::string> files = {
      {"/proc/self/cgroup", "0::/a/b\n"},
      {"/proc/self/mountinfo", kMountV2},
      {"/proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n"},
      {"/sys/fs/cgroup/a/b/cpu.max", "300000 100000\n"},
      {"/sys/fs/cgroup/a/cpu.max", "150000 100000\n"},
      {"/sys/fs/cgroup/a/b/memory.max", "max\n"},
      {"/sys/fs/cgroup/a/memory.max", "1073741824\n"},
      {"/sys/fs/cgroup/a/memory.current", "805306368\n"},
      {"/sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 268435456\nactive_file 5\n"},
  };
  EXPECT_DOUBLE_EQ(*cpu_quota(reader(files)), 1.5);
  EXPECT_EQ(free_memory(reader(files))->total, 1ull << 30);
  EXPECT_EQ(free_memory(reader(files))->available, 512ull << 20) << "cached files give way";
  files["/sys/fs/cgroup/a/memory.current"] = "2147483648\n";
  EXPECT_EQ(free_memory(reader(files))->available, 0u) << "over its limit";
  files.erase("/sys/fs/cgroup/a/memory.max");
  EXPECT_EQ(free_memory(reader(files))->available, 4ull << 30);
}

TEST(MachineReadings, LimitsOfTheFirstVersion) {
  const FileReader read = reader({
      {"/proc/self/cgroup", "4:memory:/docker/ab\n2:cpu,cpuacct:/\n"},
      {"/proc/self/mountinfo", kMountsV1},
      {"/proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n"},
      {"/sys/fs/cgroup/memory/memory.usage_in_bytes", "268435456\n"},
  });
  EXPECT_DOUBLE_EQ(*cpu_quota(read), 0.5);
  EXPECT_EQ(free_memory(read)->available, 256ull << 20);
}

TEST(MachineReadings, AMachineWithoutFilesIsStillOne) {
  const Machine machine = read_machine(reader({}));
  EXPECT_GE(machine.allowed, 1);
  EXPECT_GE(machine.online, machine.allowed);
  EXPECT_FALSE(machine.quota);
  EXPECT_FALSE(machine.load);
  EXPECT_FALSE(machine.memory);
}

TEST(MachineReadings, ThisMachine) {
  const Machine machine = read_machine();
  EXPECT_GE(machine.online, machine.allowed);
  ASSERT_TRUE(machine.memory);
  EXPECT_GT(machine.memory->available, 0u);
  EXPECT_LE(machine.memory->available, machine.memory->total);
  EXPECT_TRUE(machine.load);
}

TEST(MachineFolders, WritableOnesAndThoseThatAreNotThereYet) {
  const Workplace place;
  const FolderReading here = read_folder(place.path(""));
  EXPECT_EQ(here.problem, "");
  EXPECT_TRUE(here.exists);
  EXPECT_GT(here.free_bytes, 0u);
  const FolderReading deep = read_folder(place.path("a/b/c"));
  EXPECT_EQ(deep.problem, "");
  EXPECT_FALSE(deep.exists);
  EXPECT_TRUE(fs::is_empty(place.path(""))) << "nothing stays behind";
}

TEST(MachineFolders, ThoseThatCannotBeWritten) {
  const Workplace place;
  place.write("file", "");
  EXPECT_THAT(read_folder(place.path("file")).problem, HasSubstr("is not a folder"));
  EXPECT_THAT(read_folder(place.path("file/runs")).problem, HasSubstr("is not a folder"));
  fs::create_symlink("nowhere", place.path("link"));
  EXPECT_NE(read_folder(place.path("link/runs")).problem, "");
  EXPECT_THAT(read_folder("/proc/runs").problem, HasSubstr("nothing can be written in /proc"));
  if (geteuid() == 0) return;  // may write everywhere
  fs::create_directory(place.path("closed"));
  fs::permissions(place.path("closed"), fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_THAT(read_folder(place.path("closed/runs")).problem, HasSubstr("Permission denied"));
}

TEST(RunProgram, GivesBothStreamsAndTheExitCode) {
  const ProgramOutcome o =
      run_program("/bin/sh", {"-c", "echo out; echo err >&2; cat; exit 3"}, 60);
  EXPECT_EQ(o.problem, "");
  EXPECT_EQ(o.exit_code, 3);
  EXPECT_EQ(o.signal, 0);
  EXPECT_EQ(o.out, "out\n") << "standard input is empty";
  EXPECT_EQ(o.err, "err\n");
}

TEST(RunProgram, MoreOutputThanAPipeHolds) {
  const ProgramOutcome o =
      run_program("/bin/sh", {"-c", "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2"}, 60);
  EXPECT_EQ(o.out.size(), 300000u);
  EXPECT_EQ(o.err.size(), 300000u);
}

TEST(RunProgram, OneThatDiesHangsOrIsMissing) {
  EXPECT_EQ(run_program("/bin/sh", {"-c", "kill -ABRT $$"}, 60).signal, SIGABRT);
  EXPECT_THAT(run_program("/bin/sh", {"-c", "exec sleep 100"}, 1).problem, HasSubstr("within 1 s"));
  EXPECT_THAT(run_program("/no/such", {}, 60).problem, HasSubstr("No such file"));
  const Workplace place;
  place.write("text", "no program");
  EXPECT_THAT(run_program(place.path("text"), {}, 60).problem, HasSubstr("Permission denied"));
}

}  // namespace
}  // namespace fathom
