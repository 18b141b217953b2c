/*
 * Records of translated code, shared between processes (user mode)
 *
 * Every process translates the same dynamic linker, the same libc and the same
 * program again. A record keeps the code of one block so that another process
 * can copy it. It is found by a hash, and taken only if all that the code was
 * made from is equal: the guest's bytes, the flags of the block, and, for the
 * whole file, the build of QEMU, the features of the host's CPU, the emulated
 * CPU and the size of pages. So a record is never stale.
 *
 * Code in a record depends on no address. The guest's addresses are relative
 * (CF_PCREL), and of its host addresses only the relative operands of calls
 * and jumps that leave the block are allowed, which are listed and adjusted.
 *
 * Records come from two places. A file in a directory grows: new records are
 * appended to it as they are. Memory beside QEMU (see embedded_records) has a
 * file that is complete, whose records are packed. Both layouts are below, in
 * the byte order of the host.
 *
 * Who can write to records can run code in every process that reads them. The
 * checksums only detect damage.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <link.h>
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "qemu/cacheflush.h"
#include "qemu/cacheinfo.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "qemu/xxhash.h"
#include "exec/exec-all.h"
#include "exec/log.h"
#include "exec/page-protection.h"
#include "exec/target_page.h"
#include "exec/translation-block.h"
#include "hw/core/cpu.h"
#include "tcg/tcg.h"
#include "tcg/tb-records.h"
#include "user/guest-base.h"
#include "trace.h"
#if defined(__x86_64__) || defined(__aarch64__)
#include "host/cpuinfo.h"
#define HAVE_HOST 1
#else
#define HAVE_HOST 0
#endif
#ifdef __x86_64__
#include <asm/prctl.h>
#endif

/* The CPUs whose translators support CF_PCREL. */
#if defined(TARGET_ALPHA) || defined(TARGET_ARM) || defined(TARGET_HPPA) || \
    defined(TARGET_I386) || defined(TARGET_RISCV)
#define HAVE_PCREL 1
#else
#define HAVE_PCREL 0
#endif

#define FILE_MAGIC     "tb-recs"
#define FILE_VERSION   1
#define PACKED_MAGIC   "tb-pack"
#define PACKED_VERSION 3
#define FIRST_SLOTS    (1u << 14)
/* A longer search means that the index is full. */
#define MAX_PROBES     32
/* A file that would become larger is replaced by an empty one. */
#define MAX_FILE       (256 * MiB)
/* More files in a directory: the oldest ones are removed. */
#define MAX_FILES      8
/* What one process records, at most. */
#define MAX_NEW        (64 * MiB)
#define RECORD_ALIGN   16
#define PACKED_ALIGN   2
/* Packed records share checksums with those near them. */
#define CHUNK          1024
/* The prologue and the epilogue, the first code that TCG makes, are shorter. */
#define MAX_PROLOGUE   4096
/* The numbers behind the unwind information of a packed record are shorter. */
#define MAX_NUMBERS    512
#define MAX_REFS       ARRAY_SIZE(((TCGContext *)NULL)->tb_refs)
#define SUFFIX         ".tb-records"

/* What the code of a file depends on, besides the blocks themselves. */
typedef struct Origin {
    uint8_t build[32];          /* NT_GNU_BUILD_ID, zeros behind it */
    uint64_t features;          /* of the host's CPU: cpuinfo */
    uint32_t page;              /* bytes in a guest's page */
    uint32_t machine;           /* e_machine of the host */
    char model[80];             /* -cpu, zeros behind it */
} Origin;

typedef struct Header {
    char magic[8];
    uint32_t version;
    uint32_t slots;             /* a power of two */
    Origin origin;
    uint64_t checksum;          /* of all fields above */
    /* From here on for writers alone, who hold the lock. */
    uint64_t end;               /* of the records; they may be incomplete */
    uint64_t count;             /* of the records */
    uint64_t reserved[11];
} Header;

/* The index: the upper half of a hash, the lower half of an offset / 16. */
typedef uint64_t Slot;

typedef struct Record {
    uint64_t checksum;          /* of all bytes behind it */
    uint32_t length;            /* in bytes, a multiple of 16 */
    uint32_t hash;
    uint64_t pc;                /* with CF_PCREL, the offset in its page */
    uint64_t cs_base;
    uint32_t flags;
    uint32_t cflags;
    uint16_t size;              /* of the guest's code */
    uint16_t icount;
    uint16_t jmp_reset_offset[2];
    uint16_t jmp_insn_offset[2];
    uint16_t based;             /* whether guest_base is not 0 */
    uint16_t nrefs;             /* to QEMU's own code */
    uint16_t nexits;            /* to the prologue and epilogue */
    uint16_t code_size;
    uint16_t search_size;
    uint16_t reserved;
    /*
     * The guest's bytes; at the next multiple of 2, the offsets in the code of
     * the operands that refer to QEMU, then of those that leave the block; at
     * the next multiple of 16, the code and the unwind information.
     */
    uint8_t data[];
} Record;

QEMU_BUILD_BUG_ON(sizeof(Origin) != 128);
QEMU_BUILD_BUG_ON(sizeof(Header) != 256);
QEMU_BUILD_BUG_ON(sizeof(Record) != 64);

/*
 * A file of packed records: this header, the states, the dictionary, the index,
 * a checksum for each chunk, and, from the next multiple of CHUNK on, the chunks
 * with the records, each of them at a multiple of 2.
 */
typedef struct PackedHeader {
    char magic[8];
    uint32_t version;
    uint32_t slots;             /* a power of two */
    Origin origin;
    uint32_t states;
    uint32_t dictionary;        /* in bytes, a multiple of 8 */
    uint32_t count;             /* of the records */
    uint32_t chunks;
    uint64_t tables;            /* checksum of the states and the dictionary */
    uint64_t checksum;          /* of all fields above */
} PackedHeader;

/* What many blocks have in common. */
typedef struct State {
    uint64_t cs_base;
    uint32_t flags;
    uint32_t cflags;
    uint32_t based;
    uint32_t reserved;
} State;

/* The index: the lower 26 bits of an offset / 2, the upper 6 of a hash. */
typedef uint32_t PackedSlot;
#define PLACE_BITS 26

typedef struct Packed {
    uint16_t length;            /* in bytes */
    uint16_t pc;                /* offset in its page */
    uint16_t state;
    uint16_t size;
    uint16_t code_size;
    uint16_t search_size;
    /*
     * The address, 8 bytes, if the state lacks CF_PCREL; the guest's bytes; a
     * block of LZ4 with the dictionary (lz4_unpack): the code, the unwind
     * information, and numbers in LEB128: icount; for each exit the distances
     * from the end of the code back to jmp_reset_offset, plus 1, and to
     * jmp_insn_offset, 0 for none; how many operands are to be adjusted; for
     * each of them, backwards, the distance from the one behind it, or from the
     * end of the code, times 2, plus 1 if it leaves the block.
     */
    uint8_t data[];
} Packed;

QEMU_BUILD_BUG_ON(sizeof(PackedHeader) != 176);
QEMU_BUILD_BUG_ON(sizeof(State) != 24);
QEMU_BUILD_BUG_ON(sizeof(Packed) != 12);

/* A file in memory. It may grow, but no byte of a record in it changes. */
typedef struct Records {
    const Header *header;       /* NULL: there is none */
    size_t length;
    uint32_t slots;
    const Record *last;         /* the record that was used last */
} Records;

/* A file of packed records in memory. */
typedef struct PackedRecords {
    const PackedHeader *header; /* NULL: there is none */
    const State *states;
    const uint8_t *dictionary;
    const PackedSlot *index;
    uint32_t slots;
    const uint32_t *checksums;  /* of the chunks */
    size_t start, end;          /* of the chunks: offsets in the file */
    unsigned long *sound;       /* the chunks that were checked */
    uint32_t state;             /* of the block that was looked for last */
    const Packed *last;         /* the record that was used last */
} PackedRecords;

/*
 * Whoever puts QEMU into memory together with packed records can set this to the
 * distance from here to their file, and to its length. The note below tells
 * where it is.
 */
static struct {
    int64_t distance;
    uint64_t length;
} volatile embedded_records __attribute__((used, section(".data"))) = { 0, 0 };

/*
 * A note of type 1: the version of that file's layout, 4 reserved bytes, and the
 * distance from here to embedded_records, 8 bytes.
 */
asm(".pushsection .note.tb-records, \"a\", @note\n\t"
    ".balign 4\n\t"
    ".long 11, 16, 1\n\t"
    ".asciz \"tb-records\"\n\t"
    ".balign 4\n\t"
    ".long " stringify(PACKED_VERSION) ", 0\n\t"
    ".quad embedded_records - .\n\t"
    ".popsection");

/*
 * The host: how a call or jump refers to its target by an operand in 4 bytes.
 */
#ifdef __aarch64__
#define HOST_MACHINE   EM_AARCH64

/*
 * B and BL go 128 MiB far. From farther away QEMU's functions are called by way
 * of veneers, which are in the code buffer, behind the prologue.
 */
typedef struct Veneer {
    uint32_t code[2];           /* ldr x16, 8; br x16 */
    uint64_t target;            /* 0: it is free */
} Veneer;

#define MAX_VENEERS    1024     /* a power of two */
static Veneer *veneers;         /* NULL: there are none */

/* The veneer for a function, or NULL if there is no room for it. */
static Veneer *veneer(uintptr_t target)
{
    for (unsigned i = 0; veneers && i < MAX_PROBES; i++) {
        Veneer *v = &veneers[(target / 16 + i) & (MAX_VENEERS - 1)];

        if (v->target == 0) {
            *v = (Veneer) { { 0x58000050, 0xd61f0200 }, target };
            flush_idcache_range((uintptr_t)v, (uintptr_t)v, sizeof(*v));
        }
        if (v->target == target) {
            return v;
        }
    }
    return NULL;
}

/* What an instruction at an address can refer to, to get to a target. */
static uintptr_t within_reach(uintptr_t address, uintptr_t target)
{
    intptr_t distance = target - address;

    return distance == sextract64(distance, 0, 28) ? target
                                                   : (uintptr_t)veneer(target);
}

/* The operand is the lower 26 bits of the instruction, and counts these. */
static intptr_t operand(const uint8_t *p)
{
    return sextract32(ldl_he_p(p), 0, 26) * 4;
}

/* Whether the instruction is B or BL, and takes the operand. */
static bool set_operand(uint8_t *p, intptr_t value)
{
    uint32_t insn = ldl_he_p(p);

    stl_he_p(p, deposit32(insn, 0, 26, value / 4));
    return extract32(insn, 26, 5) == 5 && operand(p) == value;
}

static uintptr_t target_of(const uint8_t *p)
{
    uintptr_t target = (uintptr_t)p + operand(p);
    uintptr_t offset = target - (uintptr_t)veneers;

    return veneers && offset < MAX_VENEERS * sizeof(Veneer)
           ? veneers[offset / sizeof(Veneer)].target : target;
}

static bool set_target(uint8_t *p, uintptr_t target)
{
    return set_operand(p, within_reach((uintptr_t)p, target) - (uintptr_t)p);
}

static uint64_t host_features(void)
{
    /* Code refers to its TranslationBlock, which is some lines before it. */
    return cpuinfo_init() | (uint64_t)qemu_icache_linesize << 32;
}

/* Whether code that accesses the guest's memory contains guest_base. */
static bool base_in_code(void)
{
    return false;
}
#else
#define HOST_MACHINE   EM_X86_64

static intptr_t operand(const uint8_t *p)
{
    return (int32_t)ldl_he_p(p);
}

/* Whether the instruction takes the operand. */
static bool set_operand(uint8_t *p, intptr_t value)
{
    stl_he_p(p, value);
    return operand(p) == value;
}

/* The operand is relative to its own end. */
static uintptr_t target_of(const uint8_t *p)
{
    return (uintptr_t)p + 4 + operand(p);
}

static bool set_target(uint8_t *p, uintptr_t target)
{
    return set_operand(p, target - ((uintptr_t)p + 4));
}

#ifdef __x86_64__
static uint64_t host_features(void)
{
    return cpuinfo_init();
}

/*
 * Whether code that accesses the guest's memory contains guest_base. It does
 * unless guest_base is 0 or in the segment register gs, which a filter of
 * system calls may forbid.
 */
static bool base_in_code(void)
{
    unsigned long gs;

    return guest_base &&
           (syscall(SYS_arch_prctl, ARCH_GET_GS, &gs) || gs != guest_base);
}
#endif
#endif

bool tb_records_on;
static PackedRecords embedded;
static Records own;
static Origin origin;
static char *own_name;          /* file in the directory; NULL: no records are made */
static const char *dir_option;
static uint16_t based;
static uint8_t *fresh;          /* records that are not saved yet */
static size_t fresh_used, fresh_size;
static unsigned loaded, translated, damaged;

extern const char __executable_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

static bool in_qemu(uintptr_t address)
{
    return address >= (uintptr_t)__executable_start && address < (uintptr_t)_end;
}

static bool in_prologue(uintptr_t address)
{
    return address - (uintptr_t)tcg_qemu_tb_exec < MAX_PROLOGUE;
}

/* A step of a checksum can be undone, so a change of one word is noticed. */
static inline uint64_t summed(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * 0x9e3779b97f4a7c15ull;
    return sum ^ sum >> 32;
}

/* @size is a multiple of 8. */
static uint64_t checksum(const void *data, size_t size)
{
    uint64_t sum = size;

    for (const uint64_t *p = data, *end = data + size; p < end; p++) {
        sum = summed(sum, *p);
    }
    return sum;
}

static uint64_t record_checksum(const Record *r)
{
    return checksum(&r->length, r->length - offsetof(Record, length));
}

static inline uint16_t *record_refs(const Record *r)
{
    return (uint16_t *)(r->data + ROUND_UP(r->size, 2));
}

static inline size_t code_offset(const Record *r)
{
    return ROUND_UP(sizeof(*r) + ROUND_UP(r->size, 2) +
                    2 * ((size_t)r->nrefs + r->nexits), RECORD_ALIGN);
}

static inline uint8_t *record_code(const Record *r)
{
    return (uint8_t *)r + code_offset(r);
}

static inline size_t rest_of_page(vaddr pc)
{
    return -(pc | TARGET_PAGE_MASK);
}

static inline vaddr key_pc(vaddr pc, uint32_t cflags)
{
    return cflags & CF_PCREL ? pc & ~TARGET_PAGE_MASK : pc;
}

static uint32_t hash_of(vaddr pc, const TranslationBlock *tb,
                        const void *host_pc)
{
    uint64_t w[2] = { 0, 0 };

    memcpy(w, host_pc, MIN(sizeof(w), rest_of_page(pc)));
    return qemu_xxhash8(key_pc(pc, tb->cflags), w[0], w[1] ^ tb->cs_base,
                        tb->flags, tb->cflags + based);
}

static inline const Slot *index_of(const Header *h)
{
    return (const Slot *)(h + 1);
}

static inline size_t index_end(uint32_t slots)
{
    return sizeof(Header) + (size_t)slots * sizeof(Slot);
}

/*
 * Files
 */

static bool find_build_id(void)
{
    const ElfW(Ehdr) *ehdr = (const void *)__executable_start;
    const ElfW(Phdr) *phdr = (const void *)ehdr + ehdr->e_phoff;

    for (int i = 0; i < ehdr->e_phnum; i++) {
        const void *p = __executable_start + phdr[i].p_vaddr;
        const void *end = p + phdr[i].p_memsz;

        if (phdr[i].p_type != PT_NOTE || phdr[i].p_align > 4) {
            continue;
        }
        while (p + sizeof(ElfW(Nhdr)) <= end) {
            const ElfW(Nhdr) *note = p;
            const void *name = note + 1;
            const void *desc = name + ROUND_UP(note->n_namesz, 4);

            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
                !memcmp(name, "GNU", 4) &&
                note->n_descsz <= sizeof(origin.build)) {
                memcpy(origin.build, desc, note->n_descsz);
                return true;
            }
            p = desc + ROUND_UP(note->n_descsz, 4);
        }
    }
    return false;
}

/* Whether the header is complete and for this process. */
static const char *header_fault(const Header *h, size_t length)
{
    if (length < sizeof(*h) || memcmp(h->magic, FILE_MAGIC, 8)) {
        return "not a file of records";
    }
    if (h->version != FILE_VERSION) {
        return "another version";
    }
    if (h->checksum != checksum(h, offsetof(Header, checksum))) {
        return "damaged header";
    }
    if (!is_power_of_2(h->slots) || h->slots < MAX_PROBES ||
        index_end(h->slots) > length) {
        return "index outside the file";
    }
    if (memcmp(&h->origin, &origin, sizeof(origin))) {
        return "for another build, host or CPU model";
    }
    return NULL;
}

static bool use(Records *records, const void *start, size_t length)
{
    const Header *h = start;
    const char *fault = header_fault(h, length);

    if (fault) {
        trace_tb_records_ignored(fault);
        return false;
    }
    *records = (Records) { .header = h, .length = length, .slots = h->slots };
    return true;
}

static uint64_t tables_size(const PackedHeader *h)
{
    return h->states * sizeof(State) + h->dictionary;
}

/* Where the chunks begin and end. */
static uint64_t chunks_start(const PackedHeader *h)
{
    uint64_t size = sizeof(*h) + tables_size(h) +
                    h->slots * sizeof(*embedded.index) +
                    h->chunks * sizeof(*embedded.checksums);

    return ROUND_UP(size, CHUNK);
}

static uint64_t chunks_end(const PackedHeader *h)
{
    return chunks_start(h) + (uint64_t)h->chunks * CHUNK;
}

static const char *packed_fault(const PackedHeader *h, size_t length)
{
    if (length < sizeof(*h) || memcmp(h->magic, PACKED_MAGIC, 8)) {
        return "not a file of packed records";
    }
    if (h->version != PACKED_VERSION) {
        return "another version";
    }
    if (h->checksum != checksum(h, offsetof(PackedHeader, checksum))) {
        return "damaged header";
    }
    if (!is_power_of_2(h->slots) || h->slots < MAX_PROBES ||
        h->dictionary % 8 || chunks_end(h) > length) {
        return "index or records outside the file";
    }
    if (memcmp(&h->origin, &origin, sizeof(origin))) {
        return "for another build, host or CPU model";
    }
    if (h->tables != checksum(h + 1, tables_size(h))) {
        return "damaged tables";
    }
    return NULL;
}

static void use_packed(const void *start, size_t length)
{
    const PackedHeader *h = start;
    const char *fault = packed_fault(h, length);
    const State *states = (const State *)(h + 1);
    const PackedSlot *index;

    if (fault) {
        trace_tb_records_ignored(fault);
        return;
    }
    index = (const void *)(h + 1) + tables_size(h);
    embedded = (PackedRecords) {
        .header = h,
        .states = states,
        .dictionary = (const uint8_t *)(states + h->states),
        .index = index,
        .slots = h->slots,
        .checksums = index + h->slots,
        .start = chunks_start(h),
        .end = chunks_end(h),
        .sound = bitmap_new(h->chunks),
    };
}

/* Whether only this user can write to the open file or directory. */
static bool private(int fd, mode_t type, struct stat *st)
{
    if (fstat(fd, st) == 0 && (st->st_mode & S_IFMT) == type &&
        st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH))) {
        return true;
    }
    trace_tb_records_ignored("others can write there");
    return false;
}

/* The descriptor, or -1 if others can write there. */
static int checked(int fd, mode_t type, struct stat *st)
{
    if (fd >= 0 && !private(fd, type, st)) {
        close(fd);
        errno = EACCES;
        fd = -1;
    }
    return fd;
}

static int open_dir(void)
{
    struct stat st;

    return checked(open(dir_option, O_PATH | O_DIRECTORY | O_NOFOLLOW |
                                    O_CLOEXEC), S_IFDIR, &st);
}

/* Opens the file of records in the directory, after checks of both. */
static int open_own(int flags, struct stat *st)
{
    int dir = open_dir();
    int fd = -1;

    if (dir >= 0) {
        fd = checked(openat(dir, own_name, flags | O_NOFOLLOW | O_NONBLOCK |
                                           O_CLOEXEC), S_IFREG, st);
        close(dir);
    }
    return fd;
}

/*
 * Use
 */

static bool same_key(const Record *a, const Record *b)
{
    return a->hash == b->hash && a->pc == b->pc && a->cs_base == b->cs_base &&
           a->flags == b->flags && a->cflags == b->cflags &&
           a->based == b->based && a->size == b->size;
}

/* The record at an offset, if it lies within the file. */
static const Record *record_at(const void *file, size_t length, uint64_t offset)
{
    const Record *r = file + offset;

    if (offset % RECORD_ALIGN || offset > length ||
        length - offset < sizeof(*r) || r->length > length - offset ||
        r->length % RECORD_ALIGN || r->length < sizeof(*r)) {
        return NULL;
    }
    return r;
}

/* Whether all parts are within the record, and it is as it was written. */
static bool sound(const Record *r)
{
    const uint16_t *refs = record_refs(r);

    if (code_offset(r) > r->length || r->code_size < 4 ||
        r->code_size + r->search_size > r->length - code_offset(r)) {
        return false;
    }
    for (int i = 0; i < r->nrefs + r->nexits; i++) {
        if (refs[i] > r->code_size - 4) {
            return false;
        }
    }
    for (int i = 0; i < 2; i++) {
        if ((r->jmp_reset_offset[i] != TB_JMP_OFFSET_INVALID &&
             r->jmp_reset_offset[i] > r->code_size) ||
            (r->jmp_insn_offset[i] != TB_JMP_OFFSET_INVALID &&
             r->jmp_insn_offset[i] > r->code_size - 4)) {
            return false;
        }
    }
    return r->checksum == record_checksum(r);
}

/* What the record of a block would be, without its size. */
static Record key_of(const TranslationBlock *tb, vaddr pc, const void *host_pc)
{
    return (Record) {
        .hash = hash_of(pc, tb, host_pc),
        .pc = key_pc(pc, tb->cflags),
        .cs_base = tb->cs_base,
        .flags = tb->flags,
        .cflags = tb->cflags,
        .based = based,
    };
}

static const Record *matching(const Record *r, Record *key, const void *host_pc,
                              size_t rest)
{
    key->size = r->size;
    if (!same_key(r, key) || r->size == 0 || r->size > rest ||
        sizeof(*r) + r->size > r->length || memcmp(r->data, host_pc, r->size)) {
        return NULL;
    }
    if (!sound(r)) {
        damaged++;
        return NULL;
    }
    return r;
}

static const Record *find(Records *records, Record *key, const void *host_pc,
                          size_t rest)
{
    const Header *h = records->header;
    const Record *r;

    /* Records lie in the order in which one process needed them. */
    r = records->last;
    if (r) {
        r = record_at(h, records->length,
                      (uintptr_t)r + r->length - (uintptr_t)h);
        r = r ? matching(r, key, host_pc, rest) : NULL;
    }
    for (unsigned i = 0; !r && i < MAX_PROBES; i++) {
        Slot slot = qatomic_load_acquire(&index_of(h)[(key->hash + i) &
                                                      (records->slots - 1)]);

        if (slot == 0) {
            return NULL;
        }
        if (slot >> 32 == key->hash) {
            /* It may have been added after the file was mapped. */
            r = record_at(h, records->length,
                          (slot & UINT32_MAX) * RECORD_ALIGN);
            r = r ? matching(r, key, host_pc, rest) : NULL;
        }
    }
    if (r) {
        records->last = r;
    }
    return r;
}

/* Adjusts the operand at p, which is a distance from @from, below @limit. */
static bool adjust(uint8_t *p, uintptr_t from, size_t limit)
{
    size_t distance = operand(p);

    return distance < limit && set_target(p, from + distance);
}

/* Adjusts an operand of the code for this process. */
static bool adjust_ref(uint8_t *p, bool leaves)
{
    return leaves ? adjust(p, (uintptr_t)tcg_qemu_tb_exec, MAX_PROLOGUE)
                  : adjust(p, (uintptr_t)__executable_start,
                           _end - __executable_start);
}

static bool in_buffer(const TranslationBlock *tb, size_t size)
{
    return (const uint8_t *)tb->tc.ptr + size <=
           (const uint8_t *)tcg_ctx->code_gen_highwater;
}

/*
 * Packed records
 */

/* The record at an offset in the file, if it lies within the chunks. */
static const Packed *packed_at(uint64_t offset)
{
    const Packed *r = (const void *)embedded.header + offset;

    if (offset < embedded.start || offset > embedded.end ||
        embedded.end - offset < sizeof(*r) || r->length < sizeof(*r) ||
        r->length > embedded.end - offset) {
        return NULL;
    }
    return r;
}

/* Four sums, which a CPU computes side by side. */
static uint32_t chunk_checksum(const uint8_t *chunk)
{
    uint64_t sums[4] = { 0 };

    for (const uint8_t *p = chunk; p < chunk + CHUNK; p += sizeof(sums)) {
        for (int i = 0; i < ARRAY_SIZE(sums); i++) {
            sums[i] = summed(sums[i], ldq_he_p(p + i * sizeof(sums[i])));
        }
    }
    return checksum(sums, sizeof(sums));
}

/* Whether the chunks that the record lies in are as they were written. */
static bool packed_sound(const Packed *r)
{
    const uint8_t *chunks = (const uint8_t *)embedded.header + embedded.start;
    size_t offset = (const uint8_t *)r - chunks;
    size_t last = (offset + r->length - 1) / CHUNK;

    for (size_t n = offset / CHUNK; n <= last; n++) {
        if (!test_bit(n, embedded.sound)) {
            if (chunk_checksum(chunks + n * CHUNK) !=
                embedded.checksums[n]) {
                return false;
            }
            set_bit(n, embedded.sound);
        }
    }
    return true;
}

/* The number of the state that the block has, or the number of states. */
static uint32_t state_of(const Record *key)
{
    const State *states = embedded.states;
    uint32_t count = embedded.header->states;

    for (uint32_t n = 0, i = embedded.state; n < count; n++) {
        if (states[i].cs_base == key->cs_base &&
            states[i].flags == key->flags && states[i].cflags == key->cflags &&
            states[i].based == key->based) {
            embedded.state = i;
            return i;
        }
        i = i + 1 < count ? i + 1 : 0;
    }
    return count;
}

static inline size_t address_size(const Record *key)
{
    return key->cflags & CF_PCREL ? 0 : sizeof(key->pc);
}

static bool packed_matches(const Packed *r, uint32_t state, const Record *key,
                           const void *host_pc, size_t rest)
{
    size_t before = address_size(key);

    if (r->pc != (uint16_t)(key->pc & ~TARGET_PAGE_MASK) ||
        r->state != state || r->size == 0 || r->size > rest ||
        sizeof(*r) + before + r->size > r->length ||
        memcmp(r->data, &key->pc, before) ||
        memcmp(r->data + before, host_pc, r->size)) {
        return false;
    }
    if (r->code_size < 4 || !packed_sound(r)) {
        damaged++;
        return false;
    }
    return true;
}

static const Packed *find_packed(const Record *key, const void *host_pc,
                                 size_t rest)
{
    uint32_t state = state_of(key);
    const Packed *r = embedded.last;

    if (state == embedded.header->states) {
        return NULL;
    }
    /* Records mostly lie in the order in which processes need them. */
    if (r) {
        r = packed_at((const void *)r - (const void *)embedded.header +
                      ROUND_UP(r->length, PACKED_ALIGN));
        if (r && packed_matches(r, state, key, host_pc, rest)) {
            return r;
        }
    }
    for (unsigned i = 0; i < MAX_PROBES; i++) {
        PackedSlot slot = embedded.index[(key->hash + i) &
                                         (embedded.slots - 1)];

        if (slot == 0) {
            return NULL;
        }
        if (slot >> PLACE_BITS == key->hash >> PLACE_BITS) {
            r = packed_at((uint64_t)(slot & MAKE_64BIT_MASK(0, PLACE_BITS)) *
                          PACKED_ALIGN);
            if (r && packed_matches(r, state, key, host_pc, rest)) {
                return r;
            }
        }
    }
    return NULL;
}

/* Reads a length of LZ4: 15 is continued in the bytes that follow. */
static bool lz4_length(size_t *length, const uint8_t **in, const uint8_t *end)
{
    uint8_t byte = 255;

    if (*length == 15) {
        while (byte == 255) {
            if (*in == end) {
                return false;
            }
            byte = *(*in)++;
            *length += byte;
        }
    }
    return true;
}

/*
 * Copies bytes that are at least 16 apart, 16 at a time: most copies are short,
 * and a call of memcpy() takes longer.
 *
 * Returns: whether @room, which may be read and written, is enough for that.
 */
static inline bool copy_by_16(uint8_t *out, const uint8_t *in, size_t length,
                              size_t room)
{
    if (ROUND_UP(length, 16) > room) {
        return false;
    }
    for (size_t i = 0; i < length; i += 16) {
        memcpy(out + i, in + i, 16);
        barrier();              /* or this becomes a call of memcpy() */
    }
    return true;
}

/*
 * Unpacks a block of LZ4 whose offsets are places in the dictionary, or, from
 * its length on, that length plus a distance.
 *
 * Returns: the number of bytes, or 0 if it does not fit or is none.
 */
static size_t lz4_unpack(uint8_t *out, size_t room, const uint8_t *in,
                         const uint8_t *end)
{
    uint8_t *start = out, *limit = out + room;
    const uint8_t *from;
    size_t dictionary = embedded.header->dictionary;

    while (in < end) {
        uint8_t token = *in++;
        size_t length = token >> 4, offset;

        if (!lz4_length(&length, &in, end) || length > end - in ||
            length > limit - out) {
            return 0;
        }
        if (!copy_by_16(out, in, length, MIN(end - in, limit - out))) {
            memcpy(out, in, length);
        }
        out += length;
        in += length;
        if (in == end) {
            return out - start;
        }
        if (end - in < 2) {
            return 0;
        }
        offset = lduw_le_p(in);
        in += 2;
        length = token & 15;
        if (!lz4_length(&length, &in, end)) {
            return 0;
        }
        length += 4;
        if (length > limit - out) {
            return 0;
        }
        if (offset < dictionary) {
            if (length > dictionary - offset) {
                return 0;
            }
            from = embedded.dictionary + offset;
            if (!copy_by_16(out, from, length,
                            MIN(dictionary - offset, limit - out))) {
                memcpy(out, from, length);
            }
        } else {
            offset -= dictionary;
            if (offset == 0 || offset > out - start) {
                return 0;
            }
            from = out - offset;
            if (offset < 16 || !copy_by_16(out, from, length, limit - out)) {
                for (size_t i = 0; i < length; i++) {
                    out[i] = from[i];
                }
            }
        }
        out += length;
    }
    return 0;
}

/* Reads a number, which is at most @most; otherwise *in becomes NULL. */
static unsigned packed_number(const uint8_t **in, const uint8_t *end,
                              unsigned most)
{
    unsigned value = 0;

    for (unsigned shift = 0; *in && *in < end && shift < 21; shift += 7) {
        uint8_t byte = *(*in)++;

        value |= (byte & 127) << shift;
        if (byte < 128) {
            *in = value <= most ? *in : NULL;
            return value;
        }
    }
    *in = NULL;
    return 0;
}

static int load_packed(TranslationBlock *tb, const Record *key,
                       const void *host_pc, size_t rest, int *search_size)
{
    const Packed *r = find_packed(key, host_pc, rest);
    uint8_t *code = (uint8_t *)tb->tc.ptr;
    const uint8_t *numbers, *end;
    unsigned size, count, at;
    size_t unpacked;

    if (!r) {
        return 0;
    }
    size = r->code_size;
    /* The numbers behind are read and overwritten; TCG_HIGHWATER has room. */
    numbers = code + size + r->search_size;
    if (!in_buffer(tb, numbers - code)) {
        return 0;
    }
    unpacked = lz4_unpack(code, numbers - code + MAX_NUMBERS,
                          r->data + address_size(key) + r->size,
                          (const uint8_t *)r + r->length);
    if (unpacked < numbers - code) {
        damaged++;
        return 0;
    }
    end = code + unpacked;
    tb->size = r->size;
    tb->icount = packed_number(&numbers, end, UINT16_MAX);
    for (int i = 0; i < 2; i++) {
        unsigned reset = packed_number(&numbers, end, size + 1);
        unsigned insn = packed_number(&numbers, end, size);

        tb->jmp_reset_offset[i] = reset ? size + 1 - reset
                                        : TB_JMP_OFFSET_INVALID;
        tb->jmp_insn_offset[i] = insn ? size - insn : TB_JMP_OFFSET_INVALID;
        if (insn && insn < 4) {
            numbers = NULL;
        }
    }
    at = size;
    for (count = packed_number(&numbers, end, MAX_REFS); count > 0; count--) {
        unsigned back = packed_number(&numbers, end, 2 * at + 1);

        at -= back / 2;
        if (!numbers || at > size - 4) {
            break;
        }
        if (!adjust_ref(code + at, back & 1)) {
            return 0;
        }
    }
    if (!numbers || count > 0) {
        damaged++;
        return 0;
    }
    embedded.last = r;
    *search_size = r->search_size;
    return size;
}

static int load_own(TranslationBlock *tb, Record *key, const void *host_pc,
                    size_t rest, int *search_size)
{
    const Record *r = find(&own, key, host_pc, rest);
    uint8_t *code = (uint8_t *)tb->tc.ptr;
    const uint16_t *refs;

    if (!r || !in_buffer(tb, r->code_size + r->search_size)) {
        return 0;
    }
    memcpy(code, record_code(r), r->code_size + r->search_size);
    refs = record_refs(r);
    for (int i = 0; i < r->nrefs + r->nexits; i++) {
        if (!adjust_ref(code + refs[i], i >= r->nrefs)) {
            return 0;
        }
    }
    tb->size = r->size;
    tb->icount = r->icount;
    for (int i = 0; i < 2; i++) {
        tb->jmp_reset_offset[i] = r->jmp_reset_offset[i];
        tb->jmp_insn_offset[i] = r->jmp_insn_offset[i];
    }
    *search_size = r->search_size;
    return r->code_size;
}

int tb_records_load(TranslationBlock *tb, vaddr pc, const void *host_pc,
                    int *search_size)
{
    Record key = key_of(tb, pc, host_pc);
    size_t rest = rest_of_page(pc);
    int size = 0;

    if (embedded.header) {
        size = load_packed(tb, &key, host_pc, rest, search_size);
    }
    if (size == 0 && own.header) {
        size = load_own(tb, &key, host_pc, rest, search_size);
    }
    if (size > 0) {
        loaded++;
        flush_idcache_range((uintptr_t)tb->tc.ptr, (uintptr_t)tb->tc.ptr, size);
    }
    return size;
}

/*
 * Making records
 */

static bool in_block(TCGContext *s, uintptr_t address)
{
    return address >= (uintptr_t)s->gen_tb && address <= (uintptr_t)s->code_ptr;
}

bool tb_records_inside(TCGContext *s, uintptr_t value)
{
    return tb_records_on && s->gen_tb && in_block(s, value);
}

bool tb_records_near(TCGContext *s, uintptr_t value)
{
    return !tb_records_on || !s->gen_tb || in_block(s, value);
}

void tb_records_value(TCGContext *s, uintptr_t value)
{
    if (tb_records_on && s->gen_tb &&
        (in_qemu(value) || in_code_gen_buffer((const void *)value))) {
        s->tb_immovable = true;
    }
}

void tb_records_ref(TCGContext *s, uintptr_t target)
{
    if (!tb_records_on || !s->gen_tb || in_block(s, target)) {
        return;
    }
    if (s->tb_nrefs == ARRAY_SIZE(s->tb_refs)) {
        s->tb_immovable = true;
        return;
    }
    s->tb_refs[s->tb_nrefs++] = tcg_current_code_size(s);
}

/* Space for a record of this length at the end of the fresh ones. */
static Record *fresh_record(size_t length)
{
    if (fresh_used + length > fresh_size) {
        fresh_size = MAX(2 * fresh_size, MAX(length, 256 * KiB));
        fresh = g_realloc(fresh, fresh_size);
    }
    return memset(fresh + fresh_used, 0, length);
}

void tb_records_add(const TranslationBlock *tb, vaddr pc, const void *host_pc,
                    int search_size)
{
    TCGContext *s = tcg_ctx;
    Record *r, key;
    uint16_t *refs;
    uint8_t *code;
    size_t length;

    translated++;
    if (!own_name || s->tb_immovable || tb->size > rest_of_page(pc) ||
        tb->tc.size > UINT16_MAX ||
        search_size > UINT16_MAX || fresh_used > MAX_NEW) {
        return;
    }
    key = key_of(tb, pc, host_pc);
    key.size = tb->size;
    key.icount = tb->icount;
    key.code_size = tb->tc.size;
    key.search_size = search_size;
    for (int i = 0; i < 2; i++) {
        key.jmp_reset_offset[i] = tb->jmp_reset_offset[i];
        key.jmp_insn_offset[i] = tb->jmp_insn_offset[i];
    }
    /* Their sum is what the layout depends on. */
    key.nrefs = s->tb_nrefs;
    length = ROUND_UP(code_offset(&key) + key.code_size + search_size,
                      RECORD_ALIGN);
    r = fresh_record(length);
    *r = key;
    r->length = length;
    memcpy(r->data, host_pc, r->size);
    code = record_code(r);
    refs = record_refs(r);
    memcpy(code, tb->tc.ptr, r->code_size + search_size);
    r->nrefs = 0;
    for (int kind = 0; kind < 2; kind++) {
        for (int i = 0; i < s->tb_nrefs; i++) {
            uint8_t *p = code + s->tb_refs[i];
            const uint8_t *made = tb->tc.ptr + s->tb_refs[i];
            uintptr_t target = target_of(made);

            if (kind == 0 && in_qemu(target) &&
                set_operand(p, target - (uintptr_t)__executable_start)) {
                refs[r->nrefs++] = s->tb_refs[i];
            } else if (kind == 1 && in_prologue(target) &&
                       set_operand(p, target - (uintptr_t)tcg_qemu_tb_exec)) {
                refs[r->nrefs + r->nexits++] = s->tb_refs[i];
            }
        }
    }
    if (r->nrefs + r->nexits != s->tb_nrefs) {
        return;
    }
    r->checksum = record_checksum(r);
    fresh_used += length;
}

/* Whether the file has this record already. */
static bool has(const Header *h, size_t length, const Record *r)
{
    for (unsigned i = 0; i < MAX_PROBES; i++) {
        Slot slot = index_of(h)[(r->hash + i) & (h->slots - 1)];
        const Record *it;

        if (slot == 0) {
            return false;
        }
        it = record_at(h, length, (slot & UINT32_MAX) * RECORD_ALIGN);
        if (slot >> 32 == r->hash && it && same_key(it, r) &&
            it->size <= it->length - sizeof(*it) &&
            !memcmp(it->data, r->data, r->size)) {
            return true;
        }
    }
    return false;
}

/*
 * Copies a record to an offset, and then enters it into the index, if there is
 * a slot for it.
 */
static bool put(Header *h, uint64_t offset, const Record *r)
{
    Slot *slots = (Slot *)(h + 1);

    for (unsigned i = 0; i < MAX_PROBES; i++) {
        Slot *slot = &slots[(r->hash + i) & (h->slots - 1)];

        if (*slot == 0) {
            memcpy((uint8_t *)h + offset, r, r->length);
            qatomic_store_release(slot, (uint64_t)r->hash << 32 |
                                        offset / RECORD_ALIGN);
            h->count++;
            return true;
        }
    }
    return false;
}

/*
 * Puts records behind the end of a file that has room for all of them. Those
 * that it has already are left out.
 */
static void put_all(Header *h, size_t length, const GPtrArray *records,
                    size_t room)
{
    uint64_t offset = h->end;

    /* If this process is killed, nobody uses this space again. */
    h->end += room;
    smp_wmb();
    for (guint i = 0; i < records->len; i++) {
        const Record *r = g_ptr_array_index(records, i);

        if (!has(h, length, r) && r->length <= length - offset &&
            put(h, offset, r)) {
            offset += r->length;
        }
    }
    h->end = offset;
}

static gint by_address(gconstpointer a, gconstpointer b)
{
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

    return x < y ? -1 : x > y;
}

/*
 * The sound records of a file, in their order. The index leads to them, as
 * there may be gaps between them.
 */
static GPtrArray *records_of(const Header *h, size_t length)
{
    GPtrArray *all = g_ptr_array_new();
    const uint8_t *end = (const uint8_t *)h + index_end(h->slots);
    guint kept = 0;

    for (uint32_t i = 0; i < h->slots; i++) {
        Slot slot = index_of(h)[i];
        const Record *r = slot ? record_at(h, length, (slot & UINT32_MAX) *
                                                      RECORD_ALIGN) : NULL;

        if (r && sound(r)) {
            g_ptr_array_add(all, (gpointer)r);
        }
    }
    g_ptr_array_sort(all, by_address);
    /* No record is within another one, whatever the index says. */
    for (guint i = 0; i < all->len; i++) {
        const Record *r = g_ptr_array_index(all, i);

        if ((const uint8_t *)r >= end) {
            all->pdata[kept++] = (gpointer)r;
            end = (const uint8_t *)r + r->length;
        }
    }
    g_ptr_array_set_size(all, kept);
    return all;
}

static GPtrArray *fresh_records(void)
{
    GPtrArray *all = g_ptr_array_new();

    for (size_t offset = 0; offset < fresh_used; ) {
        Record *r = (Record *)(fresh + offset);

        g_ptr_array_add(all, r);
        offset += r->length;
    }
    return all;
}

/* A file that grows beyond the limit of its size would end the process. */
static bool allocate(int fd, uint64_t offset, size_t length)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
           offset + length <= limit.rlim_cur &&
           posix_fallocate(fd, offset, length) == 0;
}

static Header *map_writable(int fd, size_t length)
{
    void *start = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return start == MAP_FAILED ? NULL : start;
}

/*
 * Removes the oldest files of records, until few are left. Whoever uses one
 * keeps it.
 */
static void remove_oldest(void)
{
    g_autoptr(GDir) dir = g_dir_open(dir_option, 0, NULL);
    g_autofree char *oldest = NULL;
    struct timespec first = { 0 };
    const char *name;
    unsigned count = 0;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(dir_option, name, NULL);
        struct stat st;

        if (!g_str_has_suffix(name, SUFFIX) || lstat(path, &st)) {
            continue;
        }
        if (count++ == 0 || st.st_mtim.tv_sec < first.tv_sec) {
            first = st.st_mtim;
            g_free(oldest);
            oldest = g_steal_pointer(&path);
        }
    }
    if (count > MAX_FILES) {
        unlink(oldest);
    }
}

/*
 * Writes a new file with the records of an old one, which may be NULL, and the
 * fresh ones. It takes the place of the old one when it is complete.
 */
static void write_anew(const Header *old, size_t old_length)
{
    g_autoptr(GPtrArray) kept = old ? records_of(old, old_length)
                                    : g_ptr_array_new();
    g_autoptr(GPtrArray) new = fresh_records();
    g_autofree char *name = g_strdup_printf("%d.new" SUFFIX, getpid());
    size_t room = old ? old_length : 0;
    uint32_t slots = MAX(FIRST_SLOTS, pow2ceil(4 * (kept->len + new->len)));
    size_t length = index_end(slots) + room + fresh_used;
    int dir = open_dir(), fd = -1;
    Header *h = NULL;
    uint64_t end = 0;

    if (dir >= 0) {
        /* One that was killed may have left such a file. */
        unlinkat(dir, name, 0);
        fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW |
                               O_CLOEXEC, S_IRUSR | S_IWUSR);
    }
    if (fd >= 0 && allocate(fd, 0, length)) {
        h = map_writable(fd, length);
    }
    if (h) {
        memcpy(h->magic, FILE_MAGIC, sizeof(h->magic));
        h->version = FILE_VERSION;
        h->slots = slots;
        h->origin = origin;
        h->checksum = checksum(h, offsetof(Header, checksum));
        h->end = index_end(slots);
        put_all(h, length, kept, room);
        put_all(h, length, new, fresh_used);
        end = h->end;
        munmap(h, length);
    }
    if (fd >= 0) {
        if (!h || ftruncate(fd, end) || renameat(dir, name, dir, own_name)) {
            unlinkat(dir, name, 0);
        } else if (!old) {
            remove_oldest();
        }
        close(fd);
    }
    if (dir >= 0) {
        close(dir);
    }
}

/* Whether the locked file is still the one that has the name. */
static bool is_current(const struct stat *st)
{
    struct stat now;
    int fd = open_own(O_PATH, &now);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0 && now.st_dev == st->st_dev && now.st_ino == st->st_ino;
}

/* Whether the file is locked within a second: its user may have been stopped. */
static bool lock(int fd)
{
    for (int i = 0; i < 1000; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            return true;
        }
        if (errno != EWOULDBLOCK) {
            return false;
        }
        g_usleep(1000);
    }
    return false;
}

static void save_fresh(void)
{
    g_autoptr(GPtrArray) new = fresh_records();
    struct stat st;
    Header *h;
    size_t length;
    int fd = open_own(O_RDWR, &st);

    if (fd < 0) {
        if (errno == ENOENT) {
            write_anew(NULL, 0);
        }
        return;
    }
    /* Another process may replace the file: then this one's are lost. */
    if (!lock(fd) || fstat(fd, &st) || !is_current(&st)) {
        goto out;
    }
    length = st.st_size;
    h = length >= sizeof(*h) ? map_writable(fd, length) : NULL;
    if (!h || header_fault(h, length) || h->end % RECORD_ALIGN ||
        h->end < index_end(h->slots) || h->end > length ||
        h->end + fresh_used > MAX_FILE) {
        write_anew(NULL, 0);
    } else if (h->count + new->len > h->slots / 2) {
        write_anew(h, length);
    } else if (allocate(fd, h->end, fresh_used)) {
        size_t longer = MAX(length, h->end + fresh_used);

        munmap(h, length);
        length = longer;
        h = map_writable(fd, length);
        if (h) {
            put_all(h, length, new, fresh_used);
        }
    }
    if (h) {
        munmap(h, length);
    }
out:
    close(fd);
}

void tb_records_fork(void)
{
    fresh_used = 0;
    loaded = translated = damaged = 0;
}

void tb_records_save(void)
{
    if (!tb_records_on) {
        return;
    }
    mmap_lock();
    trace_tb_records_used(loaded, translated, damaged, fresh_used);
    if (fresh_used) {
        save_fresh();
        fresh_used = 0;
    }
    mmap_unlock();
}

void tb_records_dir(const char *dir)
{
    dir_option = dir;
}

/* Whether there may be records in this process. */
static bool wanted(void)
{
    return HAVE_HOST && HAVE_PCREL && (dir_option || embedded_records.length);
}

void *tb_records_place(size_t size)
{
    /* Where the kernel would align it for large pages. */
    uintptr_t end = QEMU_ALIGN_DOWN((uintptr_t)__executable_start, 2 * MiB);

    return wanted() && end > size ? (void *)(end - size) : NULL;
}

#ifdef __aarch64__
void tb_records_prologue(TCGContext *s)
{
    if (wanted()) {
        veneers = (void *)ROUND_UP((uintptr_t)s->code_ptr, sizeof(Veneer));
        s->code_ptr = (void *)(veneers + MAX_VENEERS);
    }
}

const void *tb_records_reach(TCGContext *s, const void *target)
{
    uintptr_t place = 0;

    if (tb_records_on && s->gen_tb) {
        place = within_reach((uintptr_t)s->code_ptr, (uintptr_t)target);
    }
    return place ? (const void *)place : target;
}
#endif

void tb_records_init(CPUState *cpu, const char *model)
{
#if HAVE_HOST && HAVE_PCREL && !defined(CONFIG_PLUGIN)
    struct stat st;
    int fd;

    if (dir_option && (qemu_getauxval(AT_SECURE) || *dir_option != '/')) {
        dir_option = NULL;
    }
    if (!wanted()) {
        return;
    }
    /* Who reads what is translated wants to see all of it. */
    if (tcg_splitwx_diff || strlen(model) >= sizeof(origin.model) ||
        !find_build_id() || base_in_code() ||
        qemu_loglevel_mask(CPU_LOG_TB_IN_ASM | CPU_LOG_TB_OUT_ASM |
                           CPU_LOG_TB_OP | CPU_LOG_TB_OP_OPT |
                           CPU_LOG_TB_OP_IND | CPU_LOG_TB_CPU |
                           CPU_LOG_EXEC)) {
        return;
    }
    origin.features = host_features();
    origin.page = TARGET_PAGE_SIZE;
    origin.machine = HOST_MACHINE;
    pstrcpy(origin.model, sizeof(origin.model), model);
    based = guest_base != 0;

    if (embedded_records.length) {
        use_packed((const void *)((uintptr_t)&embedded_records +
                                  embedded_records.distance),
                   embedded_records.length);
    }
    if (dir_option) {
        own_name = g_strdup_printf(TARGET_NAME "-%016" PRIx64 SUFFIX,
                                   checksum(&origin, sizeof(origin)));
        fd = open_own(O_RDONLY, &st);
        if (fd >= 0) {
            size_t length = st.st_size;
            void *start = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);

            if (start != MAP_FAILED && !use(&own, start, length)) {
                munmap(start, length);
            }
            close(fd);
        }
    }
    if (embedded.header || own_name) {
        tb_records_on = true;
        /*
         * A process that maps a shared file or starts a thread would have to
         * load all blocks again, for a parallel context. So all processes
         * have that from the start, and share one set of blocks.
         */
        tcg_cflags_set(cpu, CF_PCREL | CF_PARALLEL);
    }
#endif
}
