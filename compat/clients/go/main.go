// The script of ../README.md on the official Go SDK.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nacos-group/nacos-sdk-go/clients"
	"github.com/nacos-group/nacos-sdk-go/clients/naming_client"
	"github.com/nacos-group/nacos-sdk-go/common/constant"
	"github.com/nacos-group/nacos-sdk-go/model"
	"github.com/nacos-group/nacos-sdk-go/vo"
)

const (
	changeLimit = 25 * time.Second
	watch       = 20 * time.Second
	// Past the query that follows a subscription after a second: what comes next is told by push or much later.
	settle = 1500 * time.Millisecond
	// The last push is still acknowledged.
	linger   = 3 * time.Second
	pushMark = "receive push: "
)

var (
	began   = time.Now()
	args    = map[string]string{}
	failed  bool
	mutex   sync.Mutex
	pushes  []told
	changes []told
)

// told is what a push or a callback brought, and when.
type told struct {
	at    int64
	hosts []host
}

// host is one instance as the SDK showed it.
type host struct {
	ID        string            `json:"id"`
	IP        string            `json:"ip"`
	Port      uint64            `json:"port"`
	Cluster   string            `json:"cluster"`
	Service   string            `json:"service"`
	Weight    float64           `json:"weight"`
	Healthy   bool              `json:"healthy"`
	Enabled   bool              `json:"enabled"`
	Ephemeral bool              `json:"ephemeral"`
	Metadata  map[string]string `json:"metadata"`
}

// line is the report of one step.
type line struct {
	Step    string `json:"step"`
	Saw     any    `json:"saw"`
	Way     string `json:"way,omitempty"`
	AfterMs *int64 `json:"after_ms,omitempty"`
	Detail  string `json:"detail,omitempty"`
	Ok      bool   `json:"ok"`
	AtMs    int64  `json:"at_ms"`
}

func main() {
	for i := 1; i+1 < len(os.Args); i += 2 {
		args[os.Args[i]] = os.Args[i+1]
	}
	run()
	if failed {
		os.Exit(1)
	}
}

func run() {
	service, group := args["--service"], args["--group"]
	var writer, subscriber naming_client.INamingClient
	subscription := &vo.SubscribeParam{ServiceName: service, GroupName: group, SubscribeCallback: changed}
	if !step("connect", func(it *line) (err error) {
		if writer, err = connect("writer", args["--write"]); err != nil {
			return err
		}
		subscriber, err = connect("subscriber", args["--subscribe"])
		return err
	}) {
		return
	}
	all := func(client naming_client.INamingClient) ([]model.Instance, error) {
		return client.SelectAllInstances(vo.SelectAllInstancesParam{ServiceName: service, GroupName: group})
	}
	healthy := func(client naming_client.INamingClient, clusters ...string) ([]model.Instance, error) {
		param := vo.SelectInstancesParam{ServiceName: service, GroupName: group, Clusters: clusters, HealthyOnly: true}
		return client.SelectInstances(param)
	}
	step("subscribe", func(it *line) error {
		if err := subscriber.Subscribe(subscription); err != nil {
			return err
		}
		found, err := all(subscriber)
		it.Saw = plain(found)
		return err
	})
	time.Sleep(settle)
	registering := now()
	if !step("register", func(it *line) error {
		if _, err := writer.RegisterInstance(first(service, group)); err != nil {
			return err
		}
		_, err := writer.RegisterInstance(second(service, group))
		return err
	}) {
		return
	}
	change("appear", registering, func(hosts []host) bool { return len(hosts) == 2 })
	step("list", func(it *line) error {
		found, err := all(subscriber)
		return listed(it, found, err, 2)
	})
	step("list-at-writer", func(it *line) error {
		found, err := all(writer)
		for end := now() + 5000; (err != nil || len(found) != 2) && now() < end; found, err = all(writer) {
			time.Sleep(100 * time.Millisecond)
		}
		return listed(it, found, err, 2)
	})
	step("select-cluster", func(it *line) error {
		found, err := healthy(subscriber, "east")
		return listed(it, found, err, 1)
	})
	step("select-healthy", func(it *line) error {
		found, err := healthy(subscriber)
		return listed(it, found, err, 2)
	})
	step("select-one", func(it *line) error {
		one, err := subscriber.SelectOneHealthyInstance(
			vo.SelectOneHealthInstanceParam{ServiceName: service, GroupName: group})
		if err != nil {
			return err
		}
		// Which one is chance.
		it.Saw = "one of the two"
		return check(one.Healthy && one.Port/10 == 700, "got %v", *one)
	})
	step("services", func(it *line) error {
		list, err := subscriber.GetAllServicesInfo(vo.GetAllServiceInfoParam{GroupName: group, PageNo: 1, PageSize: 10})
		if err != nil {
			return err
		}
		it.Saw = map[string]any{"count": list.Count, "names": list.Doms}
		return check(len(list.Doms) == 1 && list.Doms[0] == service, "other services than the one registered")
	})
	step("beats", func(it *line) error {
		// Both instances are there and healthy for longer than they would be without heartbeats. The SDK answers from
		// its cache, which pushes and its own queries keep, so a loss shows in every later look.
		for end := time.Now().Add(watch); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
			found, err := healthy(subscriber)
			if err != nil || len(found) != 2 {
				it.Saw = plain(found)
				return check(false, "not both healthy: %v", err)
			}
		}
		it.Saw = "both healthy at every look"
		return nil
	})
	updating := now()
	step("update", func(it *line) error {
		_, err := writer.UpdateInstance(vo.UpdateInstanceParam{
			ServiceName: service, GroupName: group, Ip: "127.0.0.21", Port: 7001, ClusterName: "east",
			Weight: 5, Enable: true, Ephemeral: true, Metadata: metadata("2", true),
		})
		return err
	})
	change("updated", updating, func(hosts []host) bool {
		for _, it := range hosts {
			if it.Weight == 5 && it.Metadata["rev"] == "2" {
				return true
			}
		}
		return false
	})
	leaving := now()
	step("deregister", func(it *line) error {
		_, err := writer.DeregisterInstance(vo.DeregisterInstanceParam{
			ServiceName: service, GroupName: group, Ip: "127.0.0.21", Port: 7001, Cluster: "east", Ephemeral: true,
		})
		return err
	})
	change("gone", leaving, func(hosts []host) bool { return len(hosts) == 1 && hosts[0].Port == 7002 })
	step("leave", func(it *line) error {
		_, err := writer.DeregisterInstance(vo.DeregisterInstanceParam{
			ServiceName: service, GroupName: group, Ip: "127.0.0.22", Port: 7002, Cluster: "west", Ephemeral: true,
		})
		if err != nil {
			return err
		}
		// The SDK shows its cache, which the subscription keeps.
		found, err := all(subscriber)
		for end := now() + 25000; (err != nil || len(found) != 0) && now() < end; found, err = all(subscriber) {
			time.Sleep(20 * time.Millisecond)
		}
		if err := listed(it, found, err, 0); err != nil {
			return err
		}
		return subscriber.Unsubscribe(subscription)
	})
	time.Sleep(linger)
}

// === the parts of the script ===

func connect(name, address string) (naming_client.INamingClient, error) {
	ip, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	return clients.NewNamingClient(vo.NacosClientParam{
		ClientConfig: &constant.ClientConfig{
			TimeoutMs:            10000,
			NamespaceId:          args["--namespace"],
			CacheDir:             name + "/cache",
			LogDir:               name + "/log",
			NotLoadCacheAtStart:  true,
			UpdateCacheWhenEmpty: true,
			CustomLogger:         log{},
		},
		ServerConfigs: []constant.ServerConfig{{IpAddr: ip, Port: number, ContextPath: "/nacos"}},
	})
}

func metadata(rev string, note bool) map[string]string {
	all := map[string]string{
		"rev":                           rev,
		"preserved.heart.beat.interval": "1000",
		"preserved.heart.beat.timeout":  "11000",
		"preserved.ip.delete.timeout":   "12000",
	}
	if note {
		all["note"] = "naïve & 北=京"
	}
	return all
}

func first(service, group string) vo.RegisterInstanceParam {
	return vo.RegisterInstanceParam{
		ServiceName: service, GroupName: group, Ip: "127.0.0.21", Port: 7001, ClusterName: "east",
		Weight: 2, Enable: true, Healthy: true, Ephemeral: true, Metadata: metadata("1", true),
	}
}

func second(service, group string) vo.RegisterInstanceParam {
	return vo.RegisterInstanceParam{
		ServiceName: service, GroupName: group, Ip: "127.0.0.22", Port: 7002, ClusterName: "west",
		Weight: 1, Enable: true, Healthy: true, Ephemeral: true, Metadata: metadata("1", false),
	}
}

func changed(services []model.SubscribeService, err error) {
	// The SDK calls an empty list an error.
	hosts := []host{}
	for _, it := range services {
		// What it does not tell a subscriber is that an instance is ephemeral; all of these are.
		hosts = append(hosts, host{it.InstanceId, it.Ip, it.Port, it.ClusterName, it.ServiceName, it.Weight,
			it.Healthy, it.Enable, true, it.Metadata})
	}
	keep(&changes, hosts)
}

func keep(list *[]told, hosts []host) {
	sort.Slice(hosts, func(i, j int) bool { return hosts[i].Port < hosts[j].Port })
	mutex.Lock()
	defer mutex.Unlock()
	*list = append(*list, told{now(), hosts})
}

func find(list *[]told, from, to int64, wanted func([]host) bool) *told {
	mutex.Lock()
	defer mutex.Unlock()
	for _, it := range *list {
		if it.at >= from && it.at <= to && wanted(it.hosts) {
			return &it
		}
	}
	return nil
}

// change waits until the subscriber has been told, and says by what.
func change(name string, since int64, wanted func([]host) bool) {
	step(name, func(it *line) error {
		for end := time.Now().Add(changeLimit); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
			seen := find(&changes, since, now(), wanted)
			if seen == nil {
				continue
			}
			it.Saw, it.Way = seen.hosts, "poll"
			after := seen.at - since
			it.AfterMs = &after
			if find(&pushes, since, seen.at, wanted) != nil {
				it.Way = "push"
			}
			return nil
		}
		return errors.New("the subscriber was not told in time")
	})
}

func plain(instances []model.Instance) []host {
	hosts := []host{}
	for _, it := range instances {
		hosts = append(hosts, host{it.InstanceId, it.Ip, it.Port, it.ClusterName, it.ServiceName, it.Weight,
			it.Healthy, it.Enable, it.Ephemeral, it.Metadata})
	}
	sort.Slice(hosts, func(i, j int) bool { return hosts[i].Port < hosts[j].Port })
	return hosts
}

// log is where the SDK says that it received a packet, before it does anything with it.
type log struct{}

func (log) Info(words ...any) {
	text := fmt.Sprint(words...)
	if !strings.HasPrefix(text, pushMark) {
		return
	}
	packet := strings.TrimPrefix(text, pushMark)
	if end := strings.LastIndex(packet, " from: "); end >= 0 {
		packet = packet[:end]
	}
	var outer struct {
		Data string `json:"data"`
	}
	var data model.Service
	if json.Unmarshal([]byte(packet), &outer) != nil || json.Unmarshal([]byte(outer.Data), &data) != nil {
		fmt.Fprintln(os.Stderr, "a push that is not understood:", text)
		return
	}
	keep(&pushes, plain(data.Hosts))
}

func (log) Warn(...any)           {}
func (log) Error(words ...any)    { fmt.Fprintln(os.Stderr, words...) }
func (log) Debug(...any)          {}
func (log) Infof(string, ...any)  {}
func (log) Warnf(string, ...any)  {}
func (log) Debugf(string, ...any) {}

func (log) Errorf(format string, words ...any) { fmt.Fprintf(os.Stderr, format+"\n", words...) }

// === reporting ===

func now() int64 { return time.Since(began).Milliseconds() }

func check(ok bool, format string, words ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, words...)
}

func listed(it *line, found []model.Instance, err error, wanted int) error {
	it.Saw = plain(found)
	if err != nil && wanted > 0 {
		return err
	}
	return check(len(found) == wanted, "%d instances instead of %d", len(found), wanted)
}

func step(name string, call func(*line) error) bool {
	it := line{Step: name}
	err := call(&it)
	it.Ok, it.AtMs = err == nil, now()
	if err != nil {
		it.Detail = err.Error()
		failed = true
	}
	text, _ := json.Marshal(it)
	fmt.Println(string(text))
	return it.Ok
}
